//! What the numbers of a trained network say: loss, accuracy, precision and recall of each class, the surest mistakes.

use serde::Serialize;

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

    /// Precision, recall and F1 of each class, and their averages.
    pub fn report(&self) -> ClassReport {
        let classes = self.confusion.len();
        let score = |class: usize| {
            let right = self.confusion[class][class];
            let images = self.confusion[class].iter().sum();
            let answers: u32 = self.confusion.iter().map(|row| row[class]).sum();
            let f1 = 2.0 * f64::from(right) / (f64::from(images) + f64::from(answers)).max(1.0);
            Scores { precision: share(right, answers), recall: share(right, images), f1, images }
        };
        let scores: Vec<Scores> = (0..classes).map(score).collect();
        let weighted_average = average(&scores, |scores| f64::from(scores.images));
        ClassReport { macro_average: average(&scores, |_| 1.0), weighted_average, classes: scores }
    }
}

/// How good the answers are for one class, or for several on average; each score is from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Share of the answers with this class that were right; 0 if there were none.
    pub precision: f64,
    /// Share of the class's images that were answered right, which is the class's accuracy; 0 if it has no images.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// Images of the class.
    pub images: u32,
}

/// The scores of all classes, as scikit-learn's `classification_report(…, zero_division=0)` defines them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassReport {
    /// In the order of the labels.
    pub classes: Vec<Scores>,
    /// The mean over classes.
    pub macro_average: Scores,
    /// The mean over classes, each weighted with its number of images.
    pub weighted_average: Scores,
}

fn share(part: u32, of: u32) -> f64 {
    f64::from(part) / f64::from(of.max(1))
}

fn average(classes: &[Scores], weight: impl Fn(&Scores) -> f64) -> Scores {
    let total: f64 = classes.iter().map(&weight).sum();
    let mean = |score: fn(&Scores) -> f64| {
        let sum: f64 = classes.iter().map(|class| weight(class) * score(class)).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    };
    Scores {
        precision: mean(|class| class.precision),
        recall: mean(|class| class.recall),
        f1: mean(|class| class.f1),
        images: classes.iter().map(|class| class.images).sum(),
    }
}

/// An image that was answered wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mistake {
    /// The image's number in its split.
    pub image: usize,
    /// The class it is of.
    pub label: u32,
    /// The class it was taken for.
    pub answer: u32,
    /// How sure the network was of that, from 0 to 1.
    pub probability: f64,
}

/// The surest of all mistakes that it is shown, and never more than it was asked to keep.
#[derive(Clone, Debug)]
pub struct Mistakes {
    most: usize,
    surest: Vec<Mistake>,
}

impl Mistakes {
    /// None yet; at most `most` are kept.
    pub fn new(most: usize) -> Self {
        Self { most, surest: vec![] }
    }

    /// Looks at one answer. Of equally sure mistakes the one seen first comes first.
    pub fn add(&mut self, image: usize, logits: &[f32], label: u32) {
        let answer = answer(logits);
        if answer == label as usize {
            return;
        }
        let probability = softmax(logits)[answer];
        let place = self.surest.partition_point(|kept| kept.probability >= probability);
        if place < self.most && probability.is_finite() {
            self.surest.truncate(self.most - 1);
            self.surest.insert(place, Mistake { image, label, answer: answer as u32, probability });
        }
    }

    /// The surest first.
    pub fn surest(&self) -> &[Mistake] {
        &self.surest
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
        assert_eq!(evaluation.confusion, [[1, 0, 0], [0, 1, 1], [0, 0, 0]]);
    }

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // sklearn.metrics.classification_report(y, p, labels=[0, 1, 2, 3], output_dict=True, zero_division=0) of
        // scikit-learn 1.9.1, for labels y and answers p that have this confusion matrix.
        let confusion = vec![vec![5, 2, 0, 1], vec![1, 3, 0, 0], vec![0, 2, 0, 2], vec![0, 0, 0, 0]];
        let report = Evaluation { images: 16, loss: 0.0, confusion }.report();
        let expected = [
            (0.8333333333333334, 0.625, 0.7142857142857143, 8),
            (0.42857142857142855, 0.75, 0.5454545454545454, 4),
            (0.0, 0.0, 0.0, 4),
            (0.0, 0.0, 0.0, 0),
            (0.31547619047619047, 0.34375, 0.31493506493506496, 16),
            (0.5238095238095238, 0.5, 0.4935064935064935, 16),
        ];
        let found = report.classes.iter().chain([&report.macro_average, &report.weighted_average]);
        for (number, (found, (precision, recall, f1, images))) in found.zip(expected).enumerate() {
            let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
            assert!(near(found.precision, precision) && near(found.recall, recall) && near(found.f1, f1), "{number}");
            assert_eq!(found.images, images);
        }
        // Nothing at all divides by nothing.
        assert_eq!(Evaluation::new(2).report().weighted_average, Scores::default());
    }

    #[test]
    fn the_surest_mistakes_are_kept_in_order() {
        let mut mistakes = Mistakes::new(3);
        // Images whose answer is class 1 with rising and falling certainty; image 4 is right, 5 is as sure as 2.
        for (image, logit) in [1.0, 3.0, 2.0, 0.5, 9.0, 2.0].into_iter().enumerate() {
            mistakes.add(image, &[0.0, logit], u32::from(image == 4));
        }
        let images: Vec<usize> = mistakes.surest().iter().map(|mistake| mistake.image).collect();
        assert_eq!(images, [1, 2, 5]);
        // torch.softmax(torch.tensor([0., 3.]), 0)[1] = 0.9526
        let Mistake { label, answer, probability, .. } = mistakes.surest()[0];
        assert!((label, answer) == (0, 1) && (probability - 0.952_574).abs() < 1e-6, "{probability}");
        let mut none = Mistakes::new(0);
        none.add(0, &[0.0, 1.0], 0);
        assert!(none.surest().is_empty());
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
