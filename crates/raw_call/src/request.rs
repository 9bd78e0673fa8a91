//! The flags that make up the request.

use crate::{Answer, body};
use aac_auth::output;
use aac_auth::{Client, Error, Method, Request};
use clap::Args;

#[derive(Args)]
#[command(next_help_heading = "Request")]
pub(crate) struct Options {
    /// [default: GET, or POST with a body]
    #[arg(short = 'X', long, value_name = "NAME", value_parser = method)]
    pub method: Option<Method>,

    /// Query parameter; it is percent-encoded
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub query: Vec<(String, String)>,

    /// Member of a JSON body, as a string
    #[arg(short = 'f', long, value_name = "K=V", value_parser = pair)]
    pub raw_field: Vec<(String, String)>,

    /// The same, but V may be JSON, @FILE or @-
    #[arg(short = 'F', long, value_name = "K=V", value_parser = pair)]
    pub field: Vec<(String, String)>,

    /// Request body: TEXT, @FILE, or @- for stdin
    #[arg(short, long, value_name = "TEXT", conflicts_with_all = ["raw_field", "field", "part"], allow_hyphen_values = true)]
    pub data: Option<String>,

    /// Part of a multipart upload: K=@FILE, K=JSON
    #[arg(long, value_name = "K=@FILE", value_parser = pair, conflicts_with_all = ["raw_field", "field"])]
    pub part: Vec<(String, String)>,

    /// Request header; Authorization is set for you
    #[arg(short = 'H', long, value_name = "K: V", value_parser = header)]
    pub header: Vec<(String, String)>,
}

impl Options {
    pub(crate) fn build<'client>(
        &self,
        client: &'client Client,
        path: &str,
        answer: &Answer,
    ) -> Result<Request<'client>, Error> {
        let mut fields = self.raw_field.iter().chain(&self.field);
        let method = self.method();
        if let Some((name, value)) = fields.next()
            && (answer.paginate || matches!(method, Method::GET | Method::HEAD))
        {
            let method = if answer.paginate { Method::GET } else { method };
            return Err(Error::usage(format!(
                "-f and -F make a body, and {method} has none: a parameter goes into the query: --query {}",
                output::one_line(&format!("{name}={value}"))
            )));
        }
        let mut request = client.request(method, path);
        for (name, value) in &self.query {
            request = request.query(name, value);
        }
        if answer.output.is_some() {
            // Packages are ZIP archives, reports PDF.
            request = request.download();
        }
        for (name, value) in &self.header {
            request = request.header(name, value);
        }
        if self.has_fields() {
            let fields = body::of_fields(&self.raw_field, &self.field)?;
            request = request.body("application/json", fields);
        } else if let Some(data) = &self.data {
            request = request.body("application/json", body::of_data(data, self.is_json())?);
        } else if !self.part.is_empty() {
            request = request.multipart(body::of_parts(&self.part)?);
        }
        Ok(request)
    }

    /// A parameter of the query, in the path or beside it.
    pub(crate) fn asked<'a>(&'a self, path: &'a str, name: &str) -> Option<&'a str> {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let in_path = query.split('&').filter_map(|part| part.split_once('='));
        let beside = self.query.iter().map(|(name, value)| (&**name, &**value));
        in_path.chain(beside).find_map(|(asked, value)| (asked == name).then_some(value))
    }

    pub(crate) fn method(&self) -> Method {
        let default = if self.has_body() { Method::POST } else { Method::GET };
        self.method.clone().unwrap_or(default)
    }

    pub(crate) fn has_body(&self) -> bool {
        self.has_fields() || self.data.is_some() || !self.part.is_empty()
    }

    fn has_fields(&self) -> bool {
        !self.raw_field.is_empty() || !self.field.is_empty()
    }

    /// Whether the body should be JSON, which is the default.
    fn is_json(&self) -> bool {
        let content_type = self.header("content-type");
        content_type.is_none_or(|value| value.to_ascii_lowercase().contains("json"))
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        let mut headers = self.header.iter();
        headers.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(&**value))
    }
}

fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes());
    method.map_err(|_| "not an HTTP method such as GET, POST, PUT, PATCH or DELETE".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = unquoted(text)?.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn header(text: &str) -> Result<(String, String), String> {
    let header = unquoted(text)?.split_once(':').filter(|(name, _)| !name.trim().is_empty());
    let (name, value) = header.ok_or("expected NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(crate) fn path(text: &str) -> Result<String, String> {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let first = text.split(' ').next().unwrap_or_default();
    match METHODS.iter().find(|method| first.eq_ignore_ascii_case(method)) {
        Some(method) => Err(format!("that is a method: raw_call -X {method} PATH")),
        None => Ok(unquoted(text)?.to_owned()),
    }
}

/// What is behind the path is a mistake.
pub(crate) fn second_path(text: &str) -> Result<String, String> {
    path(text)?;
    let hint = if text.ends_with('\'') { QUOTES } else { "text with spaces needs quotes" };
    Err(format!("only one path can be called; {hint}"))
}

const QUOTES: &str = "cmd.exe does not remove single quotes: use double quotes";

/// Rejects an argument in single quotes, as cmd.exe leaves it.
fn unquoted(text: &str) -> Result<&str, &'static str> {
    if text.starts_with('\'') { Err(QUOTES) } else { Ok(text) }
}
