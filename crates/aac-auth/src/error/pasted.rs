//! What can be wrong with tokens that someone has pasted, and what to do about it.

use crate::error::Error;
use crate::error::kind::ErrorKind;
use crate::error::table::errors;

impl Error {
    errors! {
        /// Nothing was pasted but whitespace, at most.
        nothing_pasted(which: &str) => Config:
            format!("nothing was pasted where the {which} is asked for"),
            "Copy it on the page again, and paste it.";

        /// There is no terminal either.
        no_tokens_on_input() => Config:
            "no tokens on standard input",
            "Run this in a terminal, or give it both tokens: cargo run -p login -- --tokens < creds.json";

        /// `why` is what shows it.
        pasted_cut(which: &str, why: &str) => Config:
            format!("the {which} was not pasted whole: {why}"),
            "Copy it again, from its first character to its last: the button beside it on the page does that.";

        /// Neither an access token nor a refresh token. `what` it is instead.
        pasted_other(what: &str, which: &str, page: &str) => Config:
            format!("{what}, not the {which}"),
            format!("You find the tokens at {page}");

        /// It may be a refresh token, but the access token is asked for.
        not_an_access_token() => Config:
            "what was pasted is no access token",
            "An access token begins with eyJ, and is about a thousand characters long. The refresh token is asked for next.";

        /// Several texts, each of which may be the token.
        pasted_several(which: &str) => Config:
            format!("several different texts that may be the {which}"),
            format!("Paste the {which} alone.");

        pasted_again(which: &str, missing: &str) => Config:
            format!("the same {which} again"),
            format!("Paste the {missing}: the page shows it beside the other.");

        pasted_without_issuer(which: &str) => Config:
            format!("the {which} has no \"iss\" claim"),
            "Paste one that was made in Alteryx Cloud.";

        /// No refresh token may be sent there.
        pasted_of_nobody(which: &str, iss: &str, page: &str) => Config:
            format!("the {which} was issued by {iss}, which is not Alteryx Cloud"),
            format!("It would be sent there, so it is not used. You find your own at {page}");

        /// `right` is the address for this issuer, if it is known.
        pasted_of_elsewhere(which: &str, iss: &str, api: &str, right: Option<String>) => Config:
            format!("the {which} was issued by {iss}, but the address is {api}"),
            match right {
                Some(right) => format!("If these tokens are the right ones, give the address {right}. If the address is, paste tokens made there."),
                None => "Tokens of Alteryx Cloud do not go to this machine, and those of a sandbox go to that sandbox alone. Give the address that belongs to these tokens, or paste those that belong to the address.".to_owned(),
            };
    }
}
