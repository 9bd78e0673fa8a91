//! Sealed files as the tests know them: made and opened by the format alone, without the code that is tested.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;
use std::fmt;

/// A key that a file holds.
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.print())
    }
}

impl Key {
    /// The key of a file with this text.
    pub fn of(text: &str) -> Self {
        Self(digest(&SHA256, text.as_bytes()).as_ref().to_vec())
    }

    /// Its fingerprint.
    pub fn print(&self) -> String {
        crate::sha256(&[b"aac-auth fingerprint\0", &*self.0].concat())[..16].to_owned()
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).unwrap())
    }

    /// A content, sealed for this kind of place: creds or response.
    pub fn seal(&self, kind: &str, content: &[u8]) -> String {
        let mut nonce = [0; 12];
        SystemRandom::new().fill(&mut nonce).unwrap();
        let mut sealed = content.to_vec();
        let cipher = self.cipher();
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        cipher.seal_in_place_append_tag(nonce_of, associated(kind), &mut sealed).unwrap();
        let data = BASE64.encode([&nonce[..], &sealed].concat());
        let print = self.print();
        format!(
            "{{\"sealed\": {{\"v\": 1, \"by\": \"file\", \"key\": \"\", \"print\": \"{print}\", \"data\": \"{data}\"}}}}\n"
        )
    }

    /// What is sealed; none if that is something else.
    pub fn open(&self, kind: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        let sealed = &document["sealed"];
        if sealed["print"] != self.print() {
            return None;
        }
        let data = BASE64.decode(sealed["data"].as_str()?).ok()?;
        let (nonce, rest) = data.split_at_checked(12)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.cipher().open_in_place(nonce, associated(kind), &mut rest).ok()?;
        Some(opened.to_vec())
    }
}

impl Key {
    /// All that is sealed in a file, whatever stands around it.
    pub fn open_all(&self, file: &[u8]) -> Vec<Vec<u8>> {
        let text = String::from_utf8_lossy(file);
        let starts = text.match_indices("{\"sealed\"").map(|(start, _)| &text[start..]);
        let sealed = starts.filter_map(|text| Some(&text[..text.find("}}")? + 2]));
        let open = |text: &str| {
            ["creds", "response"].iter().find_map(|kind| self.open(kind, text.as_bytes()))
        };
        sealed.filter_map(open).collect()
    }
}

fn associated(kind: &str) -> Aad<String> {
    Aad::from(format!("aac-auth sealed\n1\nfile\n\n{kind}"))
}
