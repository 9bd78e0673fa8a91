//! Plans.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{identity, people};
use crate::clock::Timestamp;

/// The plans, by ID. `None` is a plan that was deleted.
#[derive(Debug)]
pub(crate) struct Plans(BTreeMap<u64, Option<Plan>>);

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// Which of the people has made it.
    pub(crate) creator: usize,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

/// Why there is no plan with an ID.
#[derive(Debug)]
pub(crate) enum NoPlan {
    Deleted,
    NotFound,
}

impl Plan {
    /// The plan as lists show it.
    pub(crate) fn row(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "createdAt": self.created.to_string(),
            "updatedAt": self.updated.to_string(),
            "creator": { "id": people::id(self.creator) },
            "updater": { "id": people::id(self.creator) },
            "workspace": { "id": identity::ID },
        })
    }
}

impl Default for Plans {
    /// Ada reports the sales each month; Łukasz reviews them each week, for Hanako.
    fn default() -> Self {
        let mut plans = Self(BTreeMap::new());
        let time = Timestamp { millis: 1_738_778_729_000 };
        plans.add("Monthly report".to_owned(), Some("Sales by region".to_owned()), time);
        let name = "Przegląd tygodnia 週報".to_owned();
        let mut review = plans.add(name, Some("Orders of the week".to_owned()), time);
        review.creator = 1;
        plans.replace(review);
        plans
    }
}

impl Plans {
    pub(crate) fn add(
        &mut self,
        name: String,
        description: Option<String>,
        now: Timestamp,
    ) -> Plan {
        let id = self.0.last_key_value().map_or(7, |(id, _)| id + 1);
        let plan = Plan { id, name, description, creator: 0, created: now, updated: now };
        self.0.insert(id, Some(plan.clone()));
        plan
    }

    pub(crate) fn get(&self, id: u64) -> Result<Plan, NoPlan> {
        match self.0.get(&id) {
            Some(Some(plan)) => Ok(plan.clone()),
            Some(None) => Err(NoPlan::Deleted),
            None => Err(NoPlan::NotFound),
        }
    }

    pub(crate) fn replace(&mut self, plan: Plan) {
        self.0.insert(plan.id, Some(plan));
    }

    pub(crate) fn delete(&mut self, id: u64) {
        self.0.insert(id, None);
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        self.0.values().flatten().map(Plan::row).collect()
    }
}
