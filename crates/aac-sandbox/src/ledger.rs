//! Every token ever issued, and what has become of it. No network in here.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::Tokens;
use crate::jwt::{Mint, REFRESH_LIFETIME, Session};
use crate::random;

/// Every token ever issued.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    families: Vec<Family>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    /// Access tokens issued up to this number are no longer accepted.
    rejected_up_to: usize,
}

/// One log-in on the web page, and all tokens that descend from it.
#[derive(Debug)]
struct Family {
    session: Session,
    revoked: bool,
}

#[derive(Debug)]
struct RefreshToken {
    family: usize,
    /// Counts from 1 over all families. For people to read; the token itself is a secret.
    number: usize,
    expires: i64,
    spent: Option<Instant>,
}

#[derive(Debug)]
struct AccessToken {
    number: usize,
    expires: i64,
}

/// What an exchange is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The server's time, in seconds since 1970.
    pub(crate) now: i64,
    pub(crate) grace: Duration,
    pub(crate) replay_protection: bool,
}

/// A successful exchange.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) tokens: Tokens,
    /// The number of the refresh token that was spent.
    pub(crate) from: usize,
    /// The number of the refresh token that was issued.
    pub(crate) to: usize,
}

/// Why a refresh token is not exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unknown,
    Expired {
        number: usize,
    },
    /// Its family had been revoked before.
    Revoked {
        number: usize,
    },
    /// It has been spent before; its family may be revoked for that now.
    Reused {
        number: usize,
        revoked: bool,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "refused: no such refresh token"),
            Self::Expired { number } => write!(f, "refused: refresh token #{number} has expired"),
            Self::Revoked { number } => write!(f, "refused: refresh token #{number} was revoked"),
            Self::Reused { number, revoked: false } => {
                write!(f, "refused: refresh token #{number} was spent before")
            }
            Self::Reused { number, revoked: true } => write!(
                f,
                "refused: refresh token #{number} was spent before; now its whole family is revoked"
            ),
        }
    }
}

impl Ledger {
    /// A new family. Its access token is `age` seconds old.
    pub(crate) fn issue(&mut self, mint: &Mint, now: i64, age: i64) -> Tokens {
        let iat = now - age;
        let session = Session { sid: random::uuid(), auth_time: iat };
        self.families.push(Family { session, revoked: false });
        self.add(mint, self.families.len() - 1, iat).0
    }

    /// Spends a refresh token for a new pair.
    pub(crate) fn exchange(
        &mut self,
        mint: &Mint,
        refresh_token: &str,
        terms: Terms,
    ) -> Result<Rotation, Refusal> {
        let (family, from) = self.admit(refresh_token, terms)?;
        let (tokens, to) = self.add(mint, family, terms.now);
        // The grace is that of the first use: sending a token over and over does not extend it.
        if let Some(token) = self.refresh_tokens.get_mut(refresh_token) {
            token.spent.get_or_insert_with(Instant::now);
        }
        Ok(Rotation { tokens, from, to })
    }

    /// A new access token; the refresh token stays as it is.
    pub(crate) fn access_only(
        &mut self,
        mint: &Mint,
        refresh_token: &str,
        terms: Terms,
    ) -> Result<String, Refusal> {
        let (family, _) = self.admit(refresh_token, terms)?;
        Ok(self.add_access_token(mint, family, terms.now))
    }

    /// Judges a refresh token that was sent; one that was sent too often has its consequences.
    fn admit(&mut self, refresh_token: &str, terms: Terms) -> Result<(usize, usize), Refusal> {
        self.judge(refresh_token, terms).inspect_err(|refusal| {
            if let Refusal::Reused { revoked: true, .. } = refusal {
                let family = self.refresh_tokens[refresh_token].family;
                self.families[family].revoked = true;
            }
        })
    }

    /// The family and the number of a refresh token that may be exchanged.
    pub(crate) fn judge(
        &self,
        refresh_token: &str,
        terms: Terms,
    ) -> Result<(usize, usize), Refusal> {
        let token = self.refresh_tokens.get(refresh_token).ok_or(Refusal::Unknown)?;
        let number = token.number;
        let ended = self.families[token.family].revoked;
        if token.spent.is_some_and(|spent| spent.elapsed() >= terms.grace) {
            let revoked = terms.replay_protection && !ended;
            Err(Refusal::Reused { number, revoked })
        } else if ended {
            Err(Refusal::Revoked { number })
        } else if terms.now >= token.expires {
            Err(Refusal::Expired { number })
        } else {
            Ok((token.family, number))
        }
    }

    /// Whether an access token is accepted at `now`.
    pub(crate) fn accepts(&self, access_token: &str, now: i64) -> bool {
        self.access_tokens
            .get(access_token)
            .is_some_and(|token| token.number > self.rejected_up_to && now < token.expires)
    }

    /// No access token issued until now is accepted any more.
    pub(crate) fn reject_access_tokens(&mut self) {
        self.rejected_up_to = self.access_tokens.len();
    }

    /// A new pair of a family, and the number of its refresh token.
    fn add(&mut self, mint: &Mint, family: usize, iat: i64) -> (Tokens, usize) {
        let access_token = self.add_access_token(mint, family, iat);
        let session = &self.families[family].session;
        let refresh_token = mint.refresh_token(session);
        let number = self.refresh_tokens.len() + 1;
        let expires = session.auth_time + REFRESH_LIFETIME;
        self.refresh_tokens
            .insert(refresh_token.clone(), RefreshToken { family, number, expires, spent: None });
        (Tokens { access_token, refresh_token }, number)
    }

    fn add_access_token(&mut self, mint: &Mint, family: usize, iat: i64) -> String {
        let token = mint.access_token(&self.families[family].session, iat);
        let number = self.access_tokens.len() + 1;
        let expires = iat + mint.lifetime;
        self.access_tokens.insert(token.clone(), AccessToken { number, expires });
        token
    }
}
