//! What the numbers of a trained network say: loss, accuracy, accuracy of each class.

/// The result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Images that were looked at.
    pub images: usize,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// `confusion[label][answer]`: how many images of a class got which answer.
    pub confusion: Vec<Vec<u32>>,
}

impl Evaluation {
    /// Nothing yet, for `classes`.
    pub fn new(classes: usize) -> Self {
        Self { images: 0, loss: 0.0, confusion: vec![vec![0; classes]; classes] }
    }

    /// Counts one image.
    pub fn add(&mut self, logits: &[f32], label: u32) {
        self.loss += (cross_entropy(logits, label) - self.loss) / (self.images + 1) as f64;
        self.images += 1;
        self.confusion[label as usize][answer(logits)] += 1;
    }

    /// Share of images that were answered right, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        let right: u32 = (0..self.confusion.len()).map(|class| self.confusion[class][class]).sum();
        f64::from(right) / self.images.max(1) as f64
    }

    /// Accuracy of each class, from 0 to 1, and its number of images.
    pub fn classes(&self) -> impl Iterator<Item = (f64, u32)> {
        self.confusion.iter().enumerate().map(|(class, answers)| {
            let images: u32 = answers.iter().sum();
            (f64::from(answers[class]) / f64::from(images.max(1)), images)
        })
    }
}

/// The class with the largest logit; the first of equals.
pub fn answer(logits: &[f32]) -> usize {
    let mut best = 0;
    for (class, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = class;
        }
    }
    best
}

/// `−log softmax(logits)[label]`.
pub fn cross_entropy(logits: &[f32], label: u32) -> f64 {
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, &logit| max.max(logit));
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    sum.ln() - f64::from(logits[label as usize] - max)
}

/// Probabilities: the softmax of the logits.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, &logit| max.max(logit));
    let exp: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_answers_by_class() {
        let mut evaluation = Evaluation::new(3);
        evaluation.add(&[2.0, 0.0, 0.0], 0);
        evaluation.add(&[0.0, 0.0, 3.0], 1);
        evaluation.add(&[0.0, 5.0, 0.0], 1);
        assert_eq!(evaluation.accuracy(), 2.0 / 3.0);
        assert_eq!(evaluation.classes().collect::<Vec<_>>(), [(1.0, 1), (0.5, 2), (0.0, 0)]);
    }

    #[test]
    fn loss_is_that_of_the_softmax() {
        // torch.nn.functional.cross_entropy(torch.tensor([[1., 2., 3.]]), torch.tensor([1])) = 1.4076
        assert!((cross_entropy(&[1.0, 2.0, 3.0], 1) - 1.407_606).abs() < 1e-6);
        // Large logits must not overflow.
        assert!(cross_entropy(&[1000.0, 0.0], 0).abs() < 1e-12);
        assert!((softmax(&[1000.0, 1000.0])[0] - 0.5).abs() < 1e-12);
    }
}
