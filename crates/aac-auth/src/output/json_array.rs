use crate::api::raw;
use crate::error::Result;
use crate::output::Output;

/// A JSON array that is written row by row. [`end`](Self::end) writes the `]`, so a truncated list
/// cannot pass for a complete one.
///
/// One row per line for programs, indented for people.
///
/// ```
/// use aac_auth::output::{JsonArray, Output};
///
/// let mut output = Output::stdout();
/// let mut array = JsonArray::default();
/// for row in [r#"{"id":1}"#, r#"{"id":2}"#] {
///     array.push(row, &mut output)?;
/// }
/// array.end(&mut output)?;
/// output.finish()?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct JsonArray {
    rows: u64,
}

impl JsonArray {
    /// Writes a row, which is JSON.
    ///
    /// # Errors
    ///
    /// As [`Output::write`]; the same for `end`.
    pub fn push(&mut self, row: &str, output: &mut Output) -> Result<()> {
        output.write(if self.rows == 0 { b"[\n" } else { b",\n" })?;
        self.rows += 1;
        if output.is_terminal()
            && let Ok(row) = serde_json::from_str(row)
        {
            let text = raw::indented(row).replace('\n', "\n  ");
            return output.write_json(&format!("  {text}"));
        }
        output.write_json(row)
    }

    /// Ends the array.
    pub fn end(self, output: &mut Output) -> Result<()> {
        output.write(if self.rows == 0 { b"[]\n" } else { b"\n]\n" })
    }
}
