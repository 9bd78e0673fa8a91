//! Documents as the engine gives them back.

use serde_json::{Map, Number, Value};

/// A document as a version 2 engine stores it: keys sorted, and numbers as IEEE 754 doubles.
/// The error is a number that is too large for one.
pub(crate) fn stored(value: &Value) -> Result<Value, Number> {
    rebuilt(value, &|number| match number.to_string().parse() {
        Ok(double) if f64::is_finite(double) => Ok(as_go_writes(double)),
        _ => Err(number.clone()),
    })
}

/// The same with numbers as they were sent, as a version 1 engine keeps them.
pub(crate) fn sorted(value: &Value) -> Value {
    rebuilt(value, &|number| Ok(number.to_string())).expect("no number is refused")
}

fn rebuilt(
    value: &Value,
    number: &dyn Fn(&Number) -> Result<String, Number>,
) -> Result<Value, Number> {
    Ok(match value {
        Value::Number(value) => serde_json::from_str(&number(value)?).expect("a number"),
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| rebuilt(item, number)).collect();
            Value::Array(items?)
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let mut object = Map::new();
            for (name, value) in members {
                object.insert(name.clone(), rebuilt(value, number)?);
            }
            Value::Object(object)
        }
        other => other.clone(),
    })
}

/// The shortest form that is the same double, with an exponent where Go's `encoding/json` has one.
fn as_go_writes(double: f64) -> String {
    let size = double.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return double.to_string();
    }
    let text = format!("{double:e}");
    if size < 1.0 { text } else { text.replace('e', "e+") }
}

/// JSON as Go writes it: safe inside HTML.
pub(crate) fn to_text(value: &Value) -> String {
    let mut text = value.to_string();
    // None of these has a meaning outside of strings.
    for (c, escape) in [
        ('<', r"\u003c"),
        ('>', r"\u003e"),
        ('&', r"\u0026"),
        ('\u{2028}', r"\u2028"),
        ('\u{2029}', r"\u2029"),
    ] {
        if text.contains(c) {
            text = text.replace(c, escape);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn version_2_sorts_keys_and_makes_doubles_of_numbers() {
        // As a real server gave them back.
        for (sent, read) in [
            ("1.50", "1.5"),
            ("7", "7"),
            ("2.0", "2"),
            ("1e3", "1000"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("12345678901234567890", "12345678901234567000"),
            ("9007199254740993", "9007199254740992"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("123456.789", "123456.789"),
            ("-5", "-5"),
            ("-0.0", "-0"),
        ] {
            let sent = parsed(&format!(r#"{{"b":[{sent}],"a":null}}"#));
            let stored = stored(&sent).expect("in range");
            assert_eq!(to_text(&stored), format!(r#"{{"a":null,"b":[{read}]}}"#));
        }
        assert_eq!(stored(&parsed("[1e400]")).expect_err("too large").to_string(), "1e+400");
    }

    #[test]
    fn version_1_keeps_numbers() {
        assert_eq!(
            to_text(&sorted(&parsed(r#"{"b":1.50,"a":"<&>"}"#))),
            r#"{"a":"\u003c\u0026\u003e","b":1.50}"#
        );
    }
}
