//! The right to send a refresh token. It comes from the right to change the store alone.

use crate::store::home::Locked;
use crate::tokens::credentials::Credentials;
use crate::tokens::secret::RefreshToken;
use std::marker::PhantomData;

/// The current pair of tokens, while the lock is held.
#[derive(Debug)]
pub(crate) struct Current<'lock> {
    pub(crate) credentials: Credentials,
    lock: PhantomData<&'lock ()>,
}

impl<'lock> Current<'lock> {
    /// Takes a pair that was read under this lock, in the store or beside it.
    pub(crate) fn of(credentials: Credentials, _: &'lock Locked<'_>) -> Self {
        Self { credentials, lock: PhantomData }
    }

    /// The right to send this copy's refresh token.
    pub(crate) fn to_spend(&self) -> Spendable<'lock> {
        let Credentials { refresh_token, client_id, token_endpoint, .. } = &self.credentials;
        Spendable {
            refresh_token: refresh_token.clone(),
            client_id: client_id.clone(),
            token_endpoint: token_endpoint.clone(),
            lock: self.lock,
        }
    }
}

/// A refresh token that may be sent: read under the lock, and consumed by being sent.
#[derive(Debug)]
pub(crate) struct Spendable<'lock> {
    pub(crate) refresh_token: RefreshToken,
    pub(crate) client_id: String,
    pub(crate) token_endpoint: String,
    lock: PhantomData<&'lock ()>,
}
