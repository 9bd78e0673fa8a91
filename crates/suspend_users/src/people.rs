//! Who is in the workspace, who of them are admins, and who runs this program.

use aac_auth::batch::Row;
use aac_auth::output::warn;
use aac_auth::{Client, Error, StatusCode, Value, id};
use std::collections::HashMap;

#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) email: String,
    pub(crate) name: String,
    /// Whether the list calls them neither disabled nor hidden.
    pub(crate) has_access: bool,
}

pub(crate) struct People {
    people: HashMap<u64, Person>,
    /// The IDs of those with an address, in lower case.
    by_email: HashMap<String, Vec<u64>>,
    /// Those that the list calls admins.
    admins: Vec<Person>,
}

impl People {
    /// Asks for the list.
    pub(crate) fn ask(client: &Client, path: &str) -> Result<Self, Error> {
        let list = client.rows(&format!("{path}/people")).named("users").sorted_by("id");
        let mut people =
            Self { people: HashMap::new(), by_email: HashMap::new(), admins: Vec::new() };
        for row in persons(&list.collect::<Result<Vec<_>, _>>()?)? {
            people.add(row);
        }
        Ok(people)
    }

    /// Asks for those whom the list may leave out. Where `status` is not known, it shows nobody new.
    pub(crate) fn add_suspended(&mut self, client: &Client, path: &str) -> Result<(), Error> {
        let list = client.rows(&format!("{path}/people?status=suspended")).named("users");
        match list.collect::<Result<Vec<_>, _>>() {
            Err(error) if is_refused(&error) => Ok(()),
            list => {
                for (person, _) in persons(&list?)? {
                    if !self.people.contains_key(&person.id) {
                        self.add((Person { has_access: false, ..person }, false));
                    }
                }
                Ok(())
            }
        }
    }

    fn add(&mut self, (person, is_admin): (Person, bool)) {
        if is_admin && person.has_access {
            self.admins.push(person.clone());
        }
        if !person.email.is_empty() {
            self.by_email.entry(person.email.to_lowercase()).or_default().push(person.id);
        }
        self.people.insert(person.id, person);
    }

    /// The person whom a row means, or why there is none.
    pub(crate) fn find(&self, row: &Row) -> Result<&Person, String> {
        let (id, email) = (row.get("id"), row.get("email"));
        let none = |what: &str| format!("{what} is not in the list of people");
        match (id, self.by_email.get(&email.to_lowercase()).map(Vec::as_slice)) {
            ("", None) if email.is_empty() => Err("it names nobody".to_owned()),
            ("", None) => Err(none(email)),
            ("", Some([one])) => self.people.get(one).ok_or_else(|| none(email)),
            ("", Some(_)) => Err(format!("several people have {email}: give the id")),
            (id, _) => {
                let number = id.parse().map_err(|_| {
                    format!("{id:?} is no id: the number is needed, such as 51001, not the gid")
                })?;
                self.people.get(&number).ok_or_else(|| none(id))
            }
        }
    }

    /// Those admins who are not suspended.
    pub(crate) fn admins(&self, client: &Client, path: &str) -> Result<Vec<Person>, Error> {
        match client.rows(&format!("{path}/admins")).named("admins").collect::<Result<Vec<_>, _>>()
        {
            Err(error) if is_refused(&error) => {
                warn(format_args!("{error}; admins are those whom the list of people calls so"));
                Ok(self.admins.clone())
            }
            admins => {
                let admins = persons(&admins?)?.into_iter().map(|(person, _)| person);
                Ok(admins.filter(|person| person.has_access).collect())
            }
        }
    }
}

/// Who runs this program, as far as that is known.
pub(crate) struct Me {
    id: Option<u64>,
    email: Option<String>,
}

impl Me {
    pub(crate) fn ask(client: &Client) -> Self {
        // If it fails, the access token says so as well, unless it is in a vault.
        let person = client.get("/v4/people/current").unwrap_or_default();
        let email = person["email"].as_str().map(str::to_owned);
        let me = Self { id: id(&person["id"]), email: email.or(client.token_status().person) };
        if me.id.is_none() && me.email.is_none() {
            warn("it is not known who you are: see to it that you are not in the list");
        }
        me
    }

    pub(crate) fn is(&self, person: &Person) -> bool {
        let email = self.email.as_ref().filter(|email| !email.is_empty());
        self.id == Some(person.id)
            || email.is_some_and(|email| email.eq_ignore_ascii_case(&person.email))
    }
}

/// People, and whether each is called an admin.
fn persons(list: &[Value]) -> Result<Vec<(Person, bool)>, Error> {
    let person = |row: &Value| {
        let id = id(&row["id"]).ok_or_else(|| Error::response("a person has no number"))?;
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        // "hidden" is documented as: cannot access the workspace.
        let has_access = row["isDisabled"] != true && row["state"] != "hidden";
        let person = Person { id, email: text("email"), name: text("name"), has_access };
        Ok((person, row["isAdmin"] == true))
    };
    list.iter().map(person).collect()
}

/// Whether the server does not take the request as it is; not because of the tokens.
fn is_refused(error: &Error) -> bool {
    let status = error.http().map(|http| http.status());
    matches!(status, Some(StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND))
}
