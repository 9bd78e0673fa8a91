//! Looks up names on a separate thread: the system's lookup has no time limit.

use crate::error::NetworkError;
use std::sync::mpsc;
use std::thread;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

#[derive(Debug)]
pub(super) struct ThreadResolver;

impl Resolver for ThreadResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let (uri, config) = (uri.clone(), config.clone());
        let look =
            move || DefaultResolver::default().resolve(&uri, &config, NextTimeout::default());
        // A lookup without a time limit of its own is one of loopback.
        if timeout.reason == Timeout::Global {
            return look();
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        // The caller may have given up.
        let spawned = thread::Builder::new().spawn(move || drop(sender.send(look())));
        if let Err(error) = spawned {
            return Err(Error::Other(Box::new(NetworkError::NoThread(error.to_string()))));
        }
        let found = receiver.recv_timeout(*timeout.after);
        found.unwrap_or(Err(Error::Timeout(timeout.reason)))
    }
}
