//! Where a plan's outputs stand.

use std::collections::HashMap;

use lenslet_graph::Role;
use lenslet_graph::plan::{Operand, Plan};

/// The plan's outputs by their roles. Whoever changes parameters asks for each of its parts anew, so what belongs to a parameter
/// is found by its number.
pub(super) struct Outputs {
    gradients: Vec<Option<Operand>>,
    updates: Vec<Option<Operand>>,
    others: HashMap<Role, Operand>,
}

impl Outputs {
    pub(super) fn new(plan: &Plan) -> Self {
        let none = vec![None; plan.parameters.len()];
        let mut outputs = Self { gradients: none.clone(), updates: none, others: HashMap::new() };
        for (role, operand) in &plan.outputs {
            match *role {
                Role::Gradient(parameter) => outputs.gradients[parameter] = Some(*operand),
                Role::Update(parameter) => outputs.updates[parameter] = Some(*operand),
                _ => drop(outputs.others.insert(role.clone(), *operand)),
            }
        }
        outputs
    }

    pub(super) fn get(&self, role: &Role) -> Option<&Operand> {
        match *role {
            Role::Gradient(parameter) => self.gradients.get(parameter)?.as_ref(),
            Role::Update(parameter) => self.updates.get(parameter)?.as_ref(),
            _ => self.others.get(role),
        }
    }
}
