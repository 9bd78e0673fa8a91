//! Invented people, always the same. The first few are ordinary; the names of the others reveal
//! programs that are careless with text that strangers wrote.

use serde_json::{Value, json};

use super::identity;

/// Display names, used in turn.
const NAMES: [Option<&str>; 32] = [
    Some("Ada Lovelace"),
    Some("Łukasz Żółć"),
    Some("久保田 花子"),
    Some("Grace Hopper"),
    Some("محمد الخوارزمي"),
    Some("Ἑλένη Παπαδοπούλου"),
    // An e with a combining acute accent instead of é.
    Some("Zoe\u{301} Dupre\u{301}"),
    // A family emoji: four people and three joiners, two columns wide.
    Some("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466} Family account"),
    None,
    Some(""),
    Some("O'Brien, \"Bob\""),
    Some("two\nlines"),
    Some("tab\there"),
    // Formulas in a spreadsheet.
    Some("=cmd|' /C calc'!A0"),
    Some("+1 555 0100"),
    Some("-2+3"),
    Some("@SUM(A1:A9)"),
    Some("\tleading tab"),
    Some("\rleading return"),
    // On a terminal: red text, a new title, and a one-character control sequence (C1).
    Some("\u{1b}[31mred\u{1b}[0m"),
    Some("\u{1b}]0;title\u{7}"),
    Some("\u{9b}31mC1"),
    Some("nul\u{0}byte"),
    // Bidirectional overrides, which disguise a file extension.
    Some("invoice\u{202e}fdp.exe\u{202c}"),
    Some("\u{2066}isolate\u{2069}"),
    Some("zero\u{200b}width"),
    Some("<script>alert(1)</script>"),
    Some("C:\\Users\\ada"),
    Some("   spaces around   "),
    Some("null"),
    Some("{\"data\":[]}"),
    Some(
        "A name that is so long that no column can hold it, with von und zu and every title that \
         a person was ever given, from baccalaurea to doctor honoris causa, in the order received",
    ),
];

/// The email addresses of the first few, who made the plans; the others have a number.
const EMAILS: [&str; 4] = [
    "ada.lovelace@example.com",
    "lukasz.zolc@example.com",
    "hanako.kubota@example.com",
    "grace.hopper@example.com",
];

/// The types of resources that privileges are about.
const RESOURCES: [&str; 20] = [
    "flow",
    "connection",
    "plan",
    "datasource",
    "reference",
    "userdefinedfunction",
    "folder",
    "workflow",
    "workload",
    "mlproject",
    "aiproject",
    "vectorproject",
    "locationintelligenceproject",
    "abapplication",
    "aidatalayer",
    "aimission",
    "desktopworkflow",
    "desktopapp",
    "report",
    "globaljobhistory",
];

/// The number of a person.
pub(crate) fn id(index: usize) -> u64 {
    51_000 + index as u64
}

/// The email address of a person. That of the first is in the access token.
pub(crate) fn email(index: usize) -> String {
    let own = EMAILS.get(index).map(|&email| email.to_owned());
    own.unwrap_or_else(|| format!("person{:05}@example.com", index + 1))
}

/// The person with this email address, of however many there are.
pub(crate) fn index_of(address: &str) -> Option<usize> {
    let own = EMAILS.iter().position(|known| *known == address);
    let number = || address.strip_prefix("person")?.strip_suffix("@example.com")?.parse().ok();
    let index = own.or_else(|| number().and_then(|number: usize| number.checked_sub(1)))?;
    (email(index) == address).then_some(index)
}

/// A person, with the fields of the real service in their order.
pub(crate) fn person(index: usize) -> Value {
    let id = id(index);
    let hidden = index % 10 == 9;
    let created = time(index);
    json!({
        "lastLoginTime": (index % 4 != 3).then(|| time(index + 100)),
        "id": id,
        "agreementAcceptedAt": index.is_multiple_of(2).then_some(&created),
        "email": email(index),
        "name": NAMES[index % NAMES.len()],
        "ssoPrincipal": null,
        "hadoopPrincipal": null,
        "cpPrincipal": null,
        "isAdmin": index == 0,
        "isDisabled": index % 7 == 6,
        "forcePasswordChange": false,
        "deleted_at": null,
        "state": if hidden { "hidden" } else { "active" },
        "lastStateChange": hidden.then(|| time(index + 50)),
        "gid": gid(index),
        "exportStatusUpdatedAt": null,
        "lastDeletedTenantAt": null,
        "createdAt": created,
        "updatedAt": time(index + 1),
        "peopleworkspaces": (index % 5 != 4).then(|| json!([{
            "id": id + 900_000,
            "personId": id,
            "workspaceId": identity::ID,
            "isDisabled": false,
            "tags": [["team", "finance"], []],
        }])),
        "validateExportCompliance": true,
        "outputHomeDir": index.is_multiple_of(3).then(|| format!("/{id}/queryResults")),
        "uploadDir": null,
    })
}

/// Adds what a person may do, and by which role.
pub(crate) fn add_privileges(person: &mut Value) {
    let operations = ["read", "update", "delete", "create", "share", "execute"];
    let privilege = |resource| json!({ "operations": operations, "resourceType": resource });
    let capability = |resource: &str| {
        json!({
            "capabilityId": resource.len(),
            "capabilityName": format!("{resource}.use"),
            "capabilityGroup": resource,
            "productCode": "enterprise_cloud22",
            "productId": 7,
        })
    };
    let (policy, name, tag) = match person["isAdmin"] == true {
        true => (101, "Workspace Admin", "workspace_admin"),
        false => (102, "Viewer", "viewer"),
    };
    person["maximalPrivileges"] = json!(RESOURCES.map(privilege));
    person["maximalCapabilities"] = json!(RESOURCES.map(capability));
    person["authorizationRoles"] = json!([{
        "policyId": policy,
        "name": name,
        "tag": tag,
        "workspaceId": identity::ID,
    }]);
}

/// A time that depends on the index alone. Every month has 28 days.
fn time(index: usize) -> String {
    let (month, day) = (1 + index % 12, 1 + index % 28);
    let (hour, minute, second) = (index % 24, index * 7 % 60, index * 13 % 60);
    format!("2025-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// A ULID: the timestamp of the workspace's ULID, and digits, which are valid in its alphabet.
fn gid(index: usize) -> String {
    format!("01JKBMKPZ9{index:016}")
}
