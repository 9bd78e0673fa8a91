//! The status as text for people, and as JSON for programs.

use aac_auth::output::one_line;
use aac_auth::{Form, PairState, Place, Timestamp, TokenStatus, Value, json};

/// As JSON. The keys stay the same in later versions.
pub(crate) fn json(status: &TokenStatus, record: Option<&Value>) -> Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let place = match &status.place {
        Place::File(path) => path.display().to_string(),
        place => place.to_string(),
    };
    let leftovers = status.leftovers.iter();
    let leftovers = leftovers
        .map(|left| json!({ "path": left.path.display().to_string(), "meaning": left.meaning }));
    json!({
        "state": status.state.as_str(),
        "problem": status.problem.as_ref().map(ToString::to_string),
        "help": status.problem.as_ref().map(|problem| problem.help()),
        "form": status.form.map(Form::as_str),
        "keeper": status.keeper,
        "key_available": status.keeper.map(|_| status.state != PairState::Sealed),
        "place": { "kind": status.place.kind(), "name": place, "chosen_as": status.chosen_as },
        "person": status.person,
        "workspace": status.workspace,
        "workspace_gid": status.workspace_gid,
        "issued": time(status.issued),
        "access_token_until": time(status.access_token_until),
        "access_token_seconds_left": status.access_token_left.as_secs(),
        "last_refresh": time(status.refreshed),
        "refresh_token_until": time(status.refresh_token_until),
        "readers": status.readers,
        "leftovers": leftovers.collect::<Vec<_>>(),
        "platform": record.map(|record| json!({
            "name": record["name"],
            "status": record["status"],
            "until": record["expiredAt"],
            "created": record["createdAt"],
            "last_use": record["activeAt"],
        })),
    })
}

/// As lines of text. `now` is the server's time, if it is known.
pub(crate) fn text(status: &TokenStatus, record: Option<&Value>, now: Timestamp) -> String {
    let unknown = || "unknown".to_owned();
    let known = |text: &Option<String>| text.as_deref().map_or_else(unknown, one_line);
    let since_or_until = |time| since_or_until(time, now);
    let dated = |time: Option<Timestamp>| time.map_or_else(unknown, since_or_until);
    // By the local clock.
    let refreshed = status.refreshed.map(|time| self::since_or_until(time, Timestamp::now()));
    let workspace = match &status.workspace_gid {
        Some(gid) => format!("{} ({})", known(&status.workspace), one_line(gid)),
        None => known(&status.workspace),
    };
    let is_lone = matches!(status.place, Place::Variable(_));
    let is_over = status.access_token_left.is_zero();
    let access = match is_over && status.problem.is_none() && !is_lone {
        true => format!("{}; the next program refreshes it", dated(status.access_token_until)),
        false => dated(status.access_token_until),
    };
    let refresh = match status.refresh_token_until {
        Some(time) => format!("{} according to the token", since_or_until(time)),
        None => "not stated".to_owned(),
    };
    let chosen = match record {
        _ if is_lone => "; there is none, and nothing is refreshed",
        Some(_) => "",
        None => "; the lifetime that you chose counts (--online)",
    };
    let is_read = !matches!(status.state, PairState::NotRead | PairState::Sealed);
    let state = status.state.as_str().replace('_', " ");
    let advice = match (is_read, &status.problem) {
        (false, None) => {
            ": whose tokens these are, and how long they last, only the vault knows (--online)"
        }
        _ => "",
    };
    let mut lines = vec![
        ("state", format!("{state}{advice}")),
        ("place", format!("{} ({})", status.place, status.place.kind())),
        ("chosen as", one_line(&status.chosen_as)),
    ];
    if let Some(form) = status.form {
        let can = if status.state == PairState::Sealed { "cannot" } else { "can" };
        let key = status.keeper.map(|keeper| format!(" ({keeper}); its key {can} be had"));
        lines.push(("form", format!("{}{}", form.as_str(), key.unwrap_or_default())));
    }
    if is_read {
        lines.extend([
            ("person", known(&status.person)),
            ("workspace", workspace),
            ("issued", dated(status.issued)),
            ("access token until", access),
            ("last refresh", refreshed.unwrap_or_else(|| "none".to_owned())),
            ("refresh token until", format!("{refresh}{chosen}")),
        ]);
    }
    for readers in &status.readers {
        lines.push(("readable by", one_line(readers)));
    }
    for left in &status.leftovers {
        lines.push(("leftover", format!("{}: {}", Place::File(left.path.clone()), left.meaning)));
    }
    if let Some(record) = record {
        let field = |name: &str| one_line(record[name].as_str().unwrap_or("unknown"));
        let time = |name: &str| match field(name).parse() {
            Ok(time) => since_or_until(time),
            Err(_) => field(name),
        };
        lines.push(("platform: name", field("name")));
        lines.push(("platform: status", field("status")));
        lines.push(("platform: until", time("expiredAt")));
        lines.push(("platform: last use", time("activeAt")));
    }
    lines.into_iter().map(|(name, value)| format!("{name:<20} {value}\n")).collect()
}

/// A time, and how far away it is.
fn since_or_until(time: Timestamp, now: Timestamp) -> String {
    let left = time.seconds_since(now);
    let (amount, unit) = match left.abs() {
        seconds @ 0..=119 => (seconds, "s"),
        seconds @ 120..=7199 => (seconds / 60, "min"),
        seconds @ 7200..=172_799 => (seconds / 3600, "h"),
        seconds => (seconds / 86_400, "days"),
    };
    match left {
        0 => format!("{time}, now"),
        1.. => format!("{time}, in {amount} {unit}"),
        _ => format!("{time}, {amount} {unit} ago"),
    }
}
