//! The one workspace of the sandbox: the one in the vendor's examples.

/// Its number, which paths contain.
pub(crate) const ID: u64 = 31429;
/// Its name, which is the audience of its tokens.
pub(crate) const NAME: &str = "lukes-test-workspace";
/// Its ULID, which is part of the scope of its tokens.
pub(crate) const GID: &str = "01JKBMKPZ94N0GG5F8N9HY2FJA";

/// The body of `GET /iam/v1/workspaces/current`: the documented object in the documented order.
/// It is text rather than a serialized value, because clients must show it digit for digit.
pub(crate) const DOCUMENT: &str = concat!(
    r#"{"id":31429,"name":"lukes-test-workspace","state":"active","lastStateChange":null,"#,
    r#""custom_url":"lukes-test-workspace.us1.alteryxcloud.com","max_user_number":5000,"#,
    r#""gid":"01JKBMKPZ94N0GG5F8N9HY2FJA","createdAt":"2025-02-05T18:05:29.000Z","#,
    r#""updatedAt":"2025-02-05T18:05:29.000Z","workspacetiers":{"data":[{"isSingleUser":false,"#,
    r#""id":31428,"name":"enterprise_cloud22","startsAt":"2025-02-05T18:05:29.000Z","#,
    r#""trialState":"None","workspace":{"id":31429}}]},"workspace_member_count":2,"#,
    r#""workspace_tier":"enterprise_cloud22","emrCluster":null}"#,
);

/// The scope of its tokens.
pub(crate) fn scope() -> String {
    format!("w:{GID}")
}
