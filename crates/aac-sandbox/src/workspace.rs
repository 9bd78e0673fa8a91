//! The workspace that the vendor's examples print: the only one the sandbox has.

/// Its number, which is its name in paths.
pub(crate) const ID: u64 = 31429;
/// Its name, the audience of its tokens.
pub(crate) const NAME: &str = "lukes-test-workspace";
/// Its ULID, which the scope of a token names.
pub(crate) const GID: &str = "01JKBMKPZ94N0GG5F8N9HY2FJA";

/// The body of `GET /iam/v1/workspaces/current`: the documented object in the documented order.
/// Text, not a value that is serialized: a client is to show it digit for digit.
pub(crate) const DOCUMENT: &str = concat!(
    r#"{"id":31429,"name":"lukes-test-workspace","state":"active","lastStateChange":null,"#,
    r#""custom_url":"lukes-test-workspace.us1.alteryxcloud.com","max_user_number":5000,"#,
    r#""gid":"01JKBMKPZ94N0GG5F8N9HY2FJA","createdAt":"2025-02-05T18:05:29.000Z","#,
    r#""updatedAt":"2025-02-05T18:05:29.000Z","workspacetiers":{"data":[{"isSingleUser":false,"#,
    r#""id":31428,"name":"enterprise_cloud22","startsAt":"2025-02-05T18:05:29.000Z","#,
    r#""trialState":"None","workspace":{"id":31429}}]},"workspace_member_count":2,"#,
    r#""workspace_tier":"enterprise_cloud22","emrCluster":null}"#,
);

/// The scope of a token for the workspace.
pub(crate) fn scope() -> String {
    format!("w:{GID}")
}
