//! All tokens ever issued, and what became of them.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::Tokens;
use super::jwt::{Mint, Session};
use crate::random;

/// All tokens ever issued.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    families: Vec<Family>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    /// Access tokens up to this number are revoked.
    revoked_up_to: usize,
}

/// One sign-in on the web page, and all tokens that descend from it.
#[derive(Debug)]
struct Family {
    session: Session,
    revoked: bool,
    /// Whether the user has disabled it on the web page.
    disabled: bool,
    /// When its refresh tokens expire, in seconds since 1970.
    expires: i64,
    /// When it was issued or refreshed last.
    active: i64,
}

/// What the platform knows of a pair. Times are in seconds since 1970.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) is_disabled: bool,
    pub(crate) created: i64,
    pub(crate) expires: i64,
    pub(crate) active: i64,
}

#[derive(Debug)]
struct RefreshToken {
    family: usize,
    /// Counts from 1 across all families. The log shows it in place of the token.
    number: usize,
    spent: Option<Instant>,
}

#[derive(Debug)]
struct AccessToken {
    number: usize,
    expires: i64,
}

/// The rules for a refresh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// The server's time, in seconds since 1970.
    pub(crate) now: i64,
    pub(crate) grace: Duration,
    pub(crate) replay_protection: bool,
}

/// A successful refresh.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) tokens: Tokens,
    /// The number of the refresh token that was spent.
    pub(crate) from: usize,
    /// The number of the refresh token that was issued.
    pub(crate) to: usize,
}

/// Why a refresh token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unknown,
    Expired {
        number: usize,
    },
    /// Its family was revoked earlier.
    Revoked {
        number: usize,
    },
    /// It was spent earlier. `revoked`: its family is revoked now, for this reuse.
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
    /// Starts a family. Its access token is `age` seconds old.
    pub(crate) fn issue(&mut self, mint: &Mint, now: i64, age: i64) -> Tokens {
        let iat = now - age;
        let session = Session { sid: random::uuid(), auth_time: iat };
        let expires = iat + mint.pair_lifetime;
        self.families.push(Family {
            session,
            revoked: false,
            disabled: false,
            expires,
            active: iat,
        });
        self.issue_pair(mint, self.families.len() - 1, iat).0
    }

    /// Spends a refresh token and issues a new pair.
    pub(crate) fn refresh(
        &mut self,
        mint: &Mint,
        refresh_token: &str,
        policy: Policy,
    ) -> Result<Rotation, Refusal> {
        let (family, from) = self.redeem(refresh_token, policy)?;
        let (tokens, to) = self.issue_pair(mint, family, policy.now);
        // The grace period starts with the first use. Sending the token again does not extend it.
        if let Some(token) = self.refresh_tokens.get_mut(refresh_token) {
            token.spent.get_or_insert_with(Instant::now);
        }
        Ok(Rotation { tokens, from, to })
    }

    /// Issues an access token without spending the refresh token.
    pub(crate) fn access_token_only(
        &mut self,
        mint: &Mint,
        refresh_token: &str,
        policy: Policy,
    ) -> Result<String, Refusal> {
        let (family, _) = self.redeem(refresh_token, policy)?;
        Ok(self.issue_access_token(mint, family, policy.now))
    }

    /// Checks a refresh token that was sent, and revokes its family if it was reused.
    fn redeem(&mut self, refresh_token: &str, policy: Policy) -> Result<(usize, usize), Refusal> {
        self.check(refresh_token, policy).inspect_err(|refusal| {
            if let Refusal::Reused { revoked: true, .. } = refusal {
                let family = self.refresh_tokens[refresh_token].family;
                self.families[family].revoked = true;
            }
        })
    }

    /// Checks a refresh token; returns its family and its number.
    pub(crate) fn check(
        &self,
        refresh_token: &str,
        policy: Policy,
    ) -> Result<(usize, usize), Refusal> {
        let token = self.refresh_tokens.get(refresh_token).ok_or(Refusal::Unknown)?;
        let number = token.number;
        let family_revoked = self.families[token.family].revoked;
        if token.spent.is_some_and(|spent| spent.elapsed() >= policy.grace) {
            let revoked = policy.replay_protection && !family_revoked;
            Err(Refusal::Reused { number, revoked })
        } else if family_revoked {
            Err(Refusal::Revoked { number })
        } else if policy.now >= self.families[token.family].expires {
            Err(Refusal::Expired { number })
        } else {
            Ok((token.family, number))
        }
    }

    /// Whether an access token is valid at `now`.
    pub(crate) fn accepts(&self, access_token: &str, now: i64) -> bool {
        self.access_tokens
            .get(access_token)
            .is_some_and(|token| token.number > self.revoked_up_to && now < token.expires)
    }

    /// Revokes all access tokens issued so far.
    pub(crate) fn revoke_access_tokens(&mut self) {
        self.revoked_up_to = self.access_tokens.len();
    }

    /// The pair of a session.
    pub(crate) fn pair(&self, sid: &str) -> Option<Pair> {
        let index = self.families.iter().position(|family| family.session.sid == sid)?;
        let family = &self.families[index];
        Some(Pair {
            name: format!("sandbox token {}", index + 1),
            is_disabled: family.disabled,
            created: family.session.auth_time,
            expires: family.expires,
            active: family.active,
        })
    }

    /// Disables all pairs issued so far: their refresh tokens are refused from now on.
    pub(crate) fn disable(&mut self) {
        for family in &mut self.families {
            (family.revoked, family.disabled) = (true, true);
        }
    }

    /// Issues a pair; returns it with the number of its refresh token.
    fn issue_pair(&mut self, mint: &Mint, family: usize, iat: i64) -> (Tokens, usize) {
        let access_token = self.issue_access_token(mint, family, iat);
        let refresh_token = mint.refresh_token(&self.families[family].session);
        let number = self.refresh_tokens.len() + 1;
        self.refresh_tokens
            .insert(refresh_token.clone(), RefreshToken { family, number, spent: None });
        (Tokens { access_token, refresh_token }, number)
    }

    fn issue_access_token(&mut self, mint: &Mint, family: usize, iat: i64) -> String {
        let token = mint.access_token(&self.families[family].session, iat);
        let number = self.access_tokens.len() + 1;
        self.families[family].active = iat;
        let expires = iat + mint.lifetime;
        self.access_tokens.insert(token.clone(), AccessToken { number, expires });
        token
    }
}
