//! Who was invited to the workspace, and who is suspended from it.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use serde_json::{Value, json};

use super::{Workspace, people};

/// The number of the first person who was invited, beyond any number of [`Options::users`](crate::Options).
const INVITED: usize = 1_000_000;

/// What has become of people since the start.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// The email addresses of those who were invited, and whether the list shows them.
    invited: Vec<(String, bool)>,
    /// Those who are suspended, and whether the list shows them.
    suspended: BTreeMap<usize, bool>,
}

impl Workspace {
    fn members<T>(&self, with: impl FnOnce(&mut Members) -> T) -> T {
        with(&mut self.members.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The people that the list shows: those with a status, `new` or `suspended`, or else all others.
    pub(crate) fn listed(&self, status: Option<&str>) -> Vec<usize> {
        let all = self.people();
        self.members(|Members { invited, suspended }| match status {
            Some("suspended") => suspended.keys().copied().collect(),
            Some("new") => (0..invited.len()).map(|number| INVITED + number).collect(),
            _ => {
                let joined = invited.iter().enumerate().filter(|(_, (_, is_listed))| *is_listed);
                let joined = joined.map(|(number, _)| INVITED + number);
                let is_shown = |index: &usize| suspended.get(index) != Some(&false);
                (0..all).chain(joined).filter(is_shown).collect()
            }
        })
    }

    /// The person with this ID.
    pub(crate) fn index_of(&self, id: u64) -> Option<usize> {
        let index = usize::try_from(id).ok()?.checked_sub(people::id(0) as usize)?;
        let invited = self.members(|members| members.invited.len());
        (index < self.people() || (INVITED..INVITED + invited).contains(&index)).then_some(index)
    }

    /// A person, as lists show them.
    pub(crate) fn person(&self, index: usize) -> Value {
        let mut person = people::person(index);
        self.members(|members| {
            if let Some((email, _)) =
                index.checked_sub(INVITED).and_then(|number| members.invited.get(number))
            {
                person["email"] = json!(email);
                person["name"] = Value::Null;
                person["lastLoginTime"] = Value::Null;
            }
            if members.suspended.contains_key(&index) {
                person["isDisabled"] = json!(true);
            }
        });
        person
    }

    /// Invites somebody. Returns the ID, or why not.
    pub(crate) fn invite(&self, email: &str, is_listed: bool) -> Result<u64, &'static str> {
        let email = email.to_lowercase();
        if people::index_of(&email).is_some_and(|index| index < self.people()) {
            return Err("is a member of the workspace");
        }
        self.members(|Members { invited, .. }| {
            if invited.iter().any(|(known, _)| *known == email) {
                return Err("has been invited");
            }
            invited.push((email, is_listed));
            Ok(people::id(INVITED + invited.len() - 1))
        })
    }

    /// Suspends these people, or ends that.
    pub(crate) fn suspend(&self, indexes: &[usize], ends: bool, is_listed: bool) {
        self.members(|Members { suspended, .. }| match ends {
            true => suspended.retain(|index, _| !indexes.contains(index)),
            false => suspended.extend(indexes.iter().map(|&index| (index, is_listed))),
        });
    }
}
