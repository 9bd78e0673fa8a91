//! The state that the calls of a client share: the tokens, the transport, the number of retries.

use crate::config::options::ConnectionOptions;
use crate::config::settings::Settings;
use crate::error::notices::Notices;
use crate::error::{Error, Result};
use crate::http::retry::backoff;
use crate::http::transport::{Limits, Transport};
use crate::platform::process;
use crate::rotation::cancellation::Cancellation;
use crate::rotation::{Fresh, Rotation};
use crate::store::folder;
use crate::store::vault::VaultStore;
use crate::tokens::credentials;
use crate::tokens::secret::AccessToken;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use ureq::http::HeaderValue;

/// Threads may share it; a clone is the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rotation: Rotation,
    transport: Transport,
    limits: Limits,
    retry: u32,
    notices: Notices,
    user_agent: HeaderValue,
    workspace: OnceLock<String>,
}

impl Connection {
    /// Finds and checks the settings. Sends nothing.
    pub(crate) fn open(options: &ConnectionOptions, program: &str) -> Result<Self> {
        if options.hold_signals {
            // Before creds.json is read.
            process::protect();
        }
        let dir = options.named_dir();
        let settings =
            Settings::load(dir.as_deref(), folder::has_tokens, credentials::placeholders)?;
        let user_agent = format!("{program} aac-auth/{}", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_str(&user_agent)
            .map_err(|_| Error::usage(format!("{program:?} cannot be the name of a program")))?;
        let notices = Notices { verbose: options.verbose };
        notices.step(format_args!("the tokens are in {}", settings.creds.display()));
        let inner = Inner {
            rotation: Rotation::new(settings, notices, options.hold_signals, &user_agent),
            transport: Transport::new(&user_agent),
            limits: Limits {
                connect: options.timeout,
                first_byte: options.timeout,
                idle: options.timeout,
                total: None,
            },
            retry: options.retry,
            notices,
            user_agent: agent,
            workspace: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn settings(&self) -> &Settings {
        self.inner.rotation.settings()
    }

    /// The secret with the tokens, at this path in the vault that the environment names. Sends nothing.
    pub(crate) fn vault_store<'a>(&'a self, path: &'a str) -> Result<VaultStore<'a>> {
        self.inner.rotation.vault_store(path)
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(crate) fn retry(&self) -> u32 {
        self.inner.retry
    }

    pub(crate) fn notices(&self) -> Notices {
        self.inner.notices
    }

    pub(crate) fn user_agent(&self) -> HeaderValue {
        self.inner.user_agent.clone()
    }

    /// A token for a call: any fresh one, or one other than the rejected one.
    pub(crate) fn fresh(
        &self,
        cancellation: &Cancellation,
        rejected: Option<&AccessToken>,
    ) -> Result<Fresh> {
        let Inner { rotation, transport, .. } = &*self.inner;
        match rejected {
            None => rotation.token(transport, cancellation),
            Some(token) => rotation.token_instead_of(token, transport, cancellation),
        }
    }

    /// Waits before a retry: as long as the server asks, or longer each time.
    pub(crate) fn pause(&self, tries: &mut u32, wait: Option<Duration>, why: &str) {
        let pause = wait.unwrap_or_else(|| backoff(*tries));
        *tries += 1;
        let seconds = pause.as_secs_f64();
        let text = format_args!("{why}; trying again in {seconds:.1} s");
        // A person at a terminal starts to wonder after a second.
        match pause > Duration::from_secs(1) {
            true => self.inner.notices.remark(text),
            false => self.inner.notices.step(text),
        }
        thread::sleep(pause);
    }

    /// The number of the workspace, once known.
    pub(crate) fn workspace(&self) -> &OnceLock<String> {
        &self.inner.workspace
    }
}
