//! Users as JSON, as the server wrote them.

use crate::progress::Users;
use aac_auth::{Error, JsonArray, Output};

/// One array. It ends with the last user, so that a list that was cut short is not valid JSON.
pub fn print_array(users: &mut Users) -> Result<(), Error> {
    let mut output = Output::stdout();
    let mut array = JsonArray::default();
    while let Some(user) = users.next_text()? {
        array.push(&user, &mut output)?;
        if users.rows.is_page_done() {
            output.flush()?;
        }
    }
    array.end(&mut output)?;
    output.finish()
}

/// An object a line.
pub fn print_lines(users: &mut Users) -> Result<(), Error> {
    let mut output = Output::stdout();
    while let Some(user) = users.next_text()? {
        output.write_json(&user)?;
        output.write(b"\n")?;
        if users.rows.is_page_done() {
            output.flush()?;
        }
    }
    output.finish()
}
