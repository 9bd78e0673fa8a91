//! Reads the claims of an access token's payload (RFC 7519 §4, RFC 9068).
//!
//! Nothing is verified: that is up to the server that receives the token. The claims only tell where
//! to refresh (`iss`, `client_id`) and how long the token lives.

use crate::tokens::secret::{AccessToken, Digest, redact_known};
use crate::tokens::timestamp::Timestamp;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// base64url as JWTs use it (RFC 7515 §2), but tolerant of padding that an issuer may add.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl AccessToken {
    /// When it expires, by the server's clock; `None` if it does not say.
    pub fn expires_at(&self) -> Option<Timestamp> {
        Timestamp::of(Claims::of(self.expose())?.exp?)
    }
}

/// The claims that a client needs. Unusable values count as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) iss: Option<String>,
    pub(crate) client_id: Option<String>,
    /// The user.
    pub(crate) sub: Option<String>,
    /// The workspace, as `w:` and its gid.
    pub(crate) scope: Option<String>,
    /// The session: the platform's record of the pair has the same.
    pub(crate) sid: Option<String>,
    /// The user's email address, for display.
    pub(crate) email: Option<String>,
    /// The workspace's name, for display.
    pub(crate) audience: Option<String>,
    /// Seconds since the epoch, by the server's clock.
    pub(crate) exp: Option<i64>,
    /// Seconds since the epoch, by the server's clock.
    pub(crate) iat: Option<i64>,
}

impl Claims {
    /// The claims of a JWT; `None` if the text is not a JWT.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let parts: Vec<_> = token.splitn(4, '.').collect();
        let [_header, payload, _signature] = parts[..] else { return None };
        let payload = Zeroizing::new(BASE64URL.decode(payload).ok()?);
        let payload: Value = serde_json::from_slice(&payload).ok()?;
        let payload = payload.as_object()?;
        let owned =
            |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let text = |name: &str| payload.get(name).and_then(owned);
        // RFC 7519 allows fractions of a second; `as` saturates if the number is out of range.
        let seconds = |name: &str| {
            let number = payload.get(name)?.as_number()?;
            number.as_i64().or(number.as_f64().map(|float| float as i64))
        };
        Some(Self {
            iss: text("iss"),
            client_id: text("client_id"),
            sub: text("sub"),
            scope: text("scope"),
            sid: text("sid"),
            email: text("email"),
            // One name, or a list (RFC 7519 §4.1.3).
            audience: payload.get("aud").and_then(|names| owned(names.get(0).unwrap_or(names))),
            exp: seconds("exp"),
            iat: seconds("iat"),
        })
    }

    /// The claims of the first access token in a text that need not be JSON.
    pub(crate) fn within(text: &str) -> Option<Self> {
        let is_of_token =
            |character: char| character.is_ascii_alphanumeric() || "-_.=".contains(character);
        let words = text.split(|character| !is_of_token(character));
        let tokens = words.filter(|word| word.starts_with("eyJ")).filter_map(Self::of);
        tokens.into_iter().find(|claims| claims.client_id.is_some())
    }

    /// A name for the user and the workspace; none if one of them is unknown.
    pub(crate) fn account_digest(&self) -> Option<Digest> {
        let Self { iss, client_id, sub, scope, .. } = self;
        let parts = [iss, client_id, sub, scope].map(|part| part.as_deref());
        let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Digest::of(Value::from(parts).to_string().as_bytes()))
    }

    /// The account, in words.
    pub(crate) fn account(&self) -> String {
        let user = self.email.as_ref().or(self.sub.as_ref());
        let workspace = self.audience.as_ref().or(self.scope.as_ref());
        let shown = |text: Option<&String>| {
            text.map_or_else(|| "unknown".to_owned(), |text| redact_known(text, &[], 80))
        };
        format!("user {}, workspace {}", shown(user), shown(workspace))
    }

    /// The token's lifetime in milliseconds, from `iat` to `exp`.
    fn lifetime(&self) -> Option<i64> {
        let seconds = self.exp?.saturating_sub(self.iat?);
        (seconds > 0).then(|| seconds.saturating_mul(1000))
    }

    /// How much of its life must be left, in milliseconds, for the token to count as fresh: a fifth,
    /// at most five minutes. A fixed margin would rotate on every call, or never.
    fn margin(&self) -> i64 {
        const USUAL_LIFETIME: i64 = 300_000;
        (self.lifetime().unwrap_or(USUAL_LIFETIME) / 5).min(300_000)
    }

    /// The rest of the token's life, in milliseconds; negative if it has expired or the rest is unknown.
    ///
    /// The local clock may be hours off, so the token's age is measured on one clock alone: from its
    /// [`Arrival`] if known, otherwise from `iat`. A negative age means that the clock is wrong or was
    /// set back: the token is then not trusted.
    fn left(&self, arrival: Option<Arrival>, now: LocalTime) -> i64 {
        let Some(lifetime) = self.lifetime() else {
            let exp = self.exp.unwrap_or(i64::MIN);
            return exp.saturating_mul(1000).saturating_sub(now.0);
        };
        let born = match arrival {
            // `iat` is in whole seconds: the token may be almost one second older than its arrival says.
            Some(arrival) if self.iat == Some(arrival.iat) => arrival.clock.0.saturating_sub(1000),
            _ => self.iat.unwrap_or(i64::MIN).saturating_mul(1000),
        };
        let age = now.0.saturating_sub(born);
        if age < -self.margin() {
            return -1;
        }
        lifetime.saturating_sub(age.max(0))
    }

    /// The rest of the token's life; zero if it has expired or the rest is unknown.
    pub(crate) fn life_left(&self, arrival: Option<Arrival>, now: LocalTime) -> Duration {
        Duration::from_millis(self.left(arrival, now).try_into().unwrap_or(0))
    }

    /// The whole life of the token, from `iat` to `exp`.
    pub(crate) fn life(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.lifetime()?.try_into().ok()?))
    }

    /// Whether the token is good enough for a call without a refresh.
    pub(crate) fn is_fresh(&self, arrival: Option<Arrival>, now: LocalTime) -> bool {
        self.left(arrival, now) > self.margin()
    }

    /// How long the token stays fresh.
    pub(crate) fn fresh_for(&self, arrival: Option<Arrival>, now: LocalTime) -> Duration {
        let rest = self.left(arrival, now).saturating_sub(self.margin());
        Duration::from_millis(u64::try_from(rest).unwrap_or(0))
    }

    /// Whether the token may still be good: for when no better one is available.
    pub(crate) fn is_alive(&self, arrival: Option<Arrival>, now: LocalTime) -> bool {
        self.left(arrival, now) > 0
    }
}

/// What shows that a JWT was not pasted whole, if anything does. The signature of RSA is as long as its key (RFC
/// 7518 §3.3, §3.5): 2048, 3072 or 4096 bits.
pub(crate) fn sign_of_a_cut(token: &str) -> Option<String> {
    const ALGORITHMS: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    Claims::of(token)?;
    let (header, rest) = token.split_once('.')?;
    let header = BASE64URL.decode(header).ok();
    let header = header.and_then(|header| serde_json::from_slice::<Value>(&header).ok());
    let Some(header) = header else { return Some("its beginning cannot be read".to_owned()) };
    let algorithm = header.get("alg")?.as_str()?;
    let algorithm = ALGORITHMS.into_iter().find(|known| *known == algorithm)?;
    let (_, signature) = rest.rsplit_once('.')?;
    let length = signature.trim_end_matches('=').len();
    (![342, 512, 683].contains(&length)).then(|| {
        format!("its signature ({algorithm}) has {length} characters, not 342, 512 or 683")
    })
}

/// A moment on the local clock, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LocalTime(pub(crate) i64);

impl LocalTime {
    pub(crate) fn now() -> Self {
        Self::of(SystemTime::now())
    }

    pub(crate) fn of(time: SystemTime) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis());
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => millis(after).unwrap_or(i64::MAX),
            Err(before) => millis(before.duration()).map_or(i64::MIN, |millis| -millis),
        })
    }
}

/// In HTTP's date format (RFC 9110 §5.6.7), in UTC.
impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = u64::try_from(self.0 / 1000).unwrap_or(0);
        // httpdate can write dates up to the year 9999.
        let time = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
        f.write_str(&httpdate::fmt_http_date(time))
    }
}

/// The local time just before the token with this `iat` was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) iat: i64,
    pub(crate) clock: LocalTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        let encode = |text| BASE64URL.encode(text).replace('=', "");
        format!("{}.{}.c2ln", encode(r#"{"alg":"RS256"}"#), encode(payload))
    }

    fn times(iat: i64, exp: i64) -> Claims {
        Claims { iat: Some(iat), exp: Some(exp), ..Claims::default() }
    }

    #[test]
    fn the_payload_is_base64url_without_padding() {
        // 0xfb 0xff encode to '-' and '_', where plain base64 has '+' and '/'.
        let token =
            token(r#"{"client_id":"ûÿ>>>???","iss":"https://x/as","exp":1,"iat":0,"aud":["a"]}"#);
        assert!(token.contains('-') && token.contains('_'));
        let claims = Claims::of(&token).unwrap();
        assert_eq!(claims.client_id.as_deref(), Some("ûÿ>>>???"));
        assert_eq!((claims.iat, claims.exp), (Some(0), Some(1)));
    }

    #[test]
    fn an_issuer_may_pad_and_name_one_audience() {
        for (payload, name) in [
            (r#"{"aud":"sales"}"#, Some("sales")),
            (r#"{"aud":["sales","all"]}"#, Some("sales")),
            (r#"{"aud":""}"#, None),
            (r#"{"aud":[]}"#, None),
            (r#"{"aud":{"name":"sales"}}"#, None),
        ] {
            let padded = base64::prelude::BASE64_URL_SAFE.encode(payload);
            for token in [token(payload), format!("e30.{padded}.c2ln")] {
                let claims = Claims::of(&token).unwrap();
                assert_eq!(claims.audience.as_deref(), name, "{payload}");
            }
        }
    }

    #[test]
    fn another_workspace_is_another_account() {
        let of = |names: [&str; 4]| {
            let [iss, client_id, sub, scope] =
                names.map(|name| Some(name.to_owned()).filter(|name| !name.is_empty()));
            Claims { iss, client_id, sub, scope, ..Claims::default() }.account_digest()
        };
        let own = of(["i", "c", "s", "w:1"]);
        assert!(own.is_some());
        assert_eq!(own, of(["i", "c", "s", "w:1"]));
        for other in [["i", "c", "s", "w:2"], ["i", "c", "t", "w:1"], ["i", "c", "sw", ":1"]] {
            assert_ne!(own, of(other), "{other:?}");
        }
        assert_eq!(of(["i", "c", "s", ""]), None, "it does not say whose it is");
    }

    #[test]
    fn a_token_that_was_cut_is_told_by_its_signature() {
        let signed = |header: &str, length| {
            let encode = |text| BASE64URL.encode(text).replace('=', "");
            format!("{}.{}.{}", encode(header), encode("{}"), "x".repeat(length))
        };
        let of = |algorithm: &str| format!("{{\"kid\":\"1\",\"alg\":\"{algorithm}\"}}");
        for algorithm in ["RS256", "RS384", "RS512", "PS256"] {
            for length in [342, 512, 683] {
                let whole = signed(&of(algorithm), length);
                assert_eq!(sign_of_a_cut(&whole), None, "{algorithm} {length}");
                assert_eq!(sign_of_a_cut(&(whole + "==")), None, "it may be padded");
            }
            for length in [0, 1, 86, 341, 343, 511, 513, 682, 684] {
                let words = format!(
                    "its signature ({algorithm}) has {length} characters, not 342, 512 or 683"
                );
                assert_eq!(sign_of_a_cut(&signed(&of(algorithm), length)), Some(words));
            }
        }
        // Another algorithm has other lengths, and what is no JWT has none.
        for token in
            [signed(&of("ES256"), 86), signed("{}", 86), signed(&of(""), 0), "a.b.c".into()]
        {
            assert_eq!(sign_of_a_cut(&token), None, "{token}");
        }
        let behead = &signed(&of("RS256"), 342)[1..];
        assert_eq!(sign_of_a_cut(behead).as_deref(), Some("its beginning cannot be read"));
    }

    #[test]
    fn odd_values_count_as_absent_and_never_panic() {
        let deep = format!("{{\"iss\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for (payload, exp) in [
            (r#"{"exp":"1700000000"}"#, None),
            (r#"{"exp":null}"#, None),
            (r#"{"exp":1700000000.75}"#, Some(1_700_000_000)),
            (r#"{"exp":1e999}"#, None),
            (r#"{"exp":9223372036854775807}"#, Some(i64::MAX)),
            (r#"{"exp":99999999999999999999}"#, Some(i64::MAX)),
            (r#"{"exp":-99999999999999999999}"#, Some(i64::MIN)),
            (r#"{"iss":7,"client_id":""}"#, None),
        ] {
            let claims = Claims::of(&token(payload)).unwrap();
            assert_eq!(claims.exp, exp, "{payload}");
            assert_eq!((claims.iss.as_ref(), claims.client_id.as_ref()), (None, None));
            for iat in [None, Some(i64::MIN), Some(0), Some(i64::MAX)] {
                let claims = Claims { iat, ..claims.clone() };
                for clock in [i64::MIN, 0, i64::MAX] {
                    let arrival = iat.map(|iat| Arrival { iat, clock: LocalTime(clock) });
                    claims.is_fresh(arrival, LocalTime::now());
                    claims.is_alive(None, LocalTime(clock));
                }
            }
        }
        for text in ["", "a.b", "a.b.c", "a.b.c.d", "..", &token("[]"), &token("{"), &token(&deep)]
        {
            assert_eq!(Claims::of(text), None);
        }
    }

    #[test]
    fn a_token_is_fresh_until_a_fifth_of_its_life_is_left() {
        let claims = times(1000, 1300);
        for (seconds, fresh, alive) in
            [(1000, true, true), (1239, true, true), (1241, false, true), (1301, false, false)]
        {
            let now = LocalTime(seconds * 1000);
            assert_eq!(claims.is_fresh(None, now), fresh, "{seconds}");
            assert_eq!(claims.is_alive(None, now), alive, "{seconds}");
        }
        // A one-day token has a margin of five minutes, not five hours.
        assert!(times(0, 86_400).is_fresh(None, LocalTime(86_000_000)));
    }

    #[test]
    fn a_clock_that_is_off_counts_from_the_arrival() {
        let claims = times(10_000, 10_300);
        for clock in [10_000 - 3600, 10_000 + 3600] {
            let arrival = Some(Arrival { iat: 10_000, clock: LocalTime(clock * 1000) });
            let after = |seconds: i64| LocalTime((clock + seconds) * 1000);
            assert!(!claims.is_fresh(None, after(1)));
            assert!(claims.is_fresh(arrival, after(200)));
            assert!(!claims.is_fresh(arrival, after(239)), "it may be a second older than that");
            assert!(!claims.is_fresh(arrival, after(-1800)), "the clock was set back");
            let other = Some(Arrival { iat: 9_999, clock: LocalTime(clock * 1000) });
            assert!(!claims.is_fresh(other, after(1)), "it counts for its own iat alone");
        }
    }
}
