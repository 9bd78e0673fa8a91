//! What the system encrypts for a user (DPAPI).

use crate::platform::windows::succeeded;
use std::io;
use std::ptr::{null, null_mut};
use std::slice;
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Cryptography::{
    CRYPT_INTEGER_BLOB, CRYPTPROTECT_UI_FORBIDDEN, CryptProtectData, CryptUnprotectData,
};
use zeroize::{Zeroize, Zeroizing};

/// Encrypts a secret for this user on this machine.
#[expect(unsafe_code, reason = "no safe interface encrypts for a user")]
pub(crate) fn protect_data(secret: &[u8]) -> io::Result<Vec<u8>> {
    let (given, mut taken) = (blob(secret)?, empty());
    // SAFETY: the input is readable for as long as it says, and only read. On success the output belongs to `take`.
    unsafe {
        succeeded(CryptProtectData(
            &given,
            null(),
            null(),
            null(),
            null(),
            CRYPTPROTECT_UI_FORBIDDEN,
            &mut taken,
        ))?;
        Ok(take(taken).to_vec())
    }
}

/// Decrypts a secret of this user.
#[expect(unsafe_code, reason = "no safe interface decrypts for a user")]
pub(crate) fn unprotect_data(encrypted: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let (given, mut taken) = (blob(encrypted)?, empty());
    // SAFETY: as above.
    unsafe {
        succeeded(CryptUnprotectData(
            &given,
            null_mut(),
            null(),
            null(),
            null(),
            CRYPTPROTECT_UI_FORBIDDEN,
            &mut taken,
        ))
        .map(|()| take(taken))
    }
}

fn empty() -> CRYPT_INTEGER_BLOB {
    CRYPT_INTEGER_BLOB { cbData: 0, pbData: null_mut() }
}

fn blob(bytes: &[u8]) -> io::Result<CRYPT_INTEGER_BLOB> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(CRYPT_INTEGER_BLOB { cbData: length, pbData: bytes.as_ptr().cast_mut() })
}

/// Takes over what the system has made, and wipes it there.
///
/// # Safety
///
/// The pointer leads to as many bytes, is to be freed with LocalFree, and belongs to nobody else.
#[expect(unsafe_code, reason = "the system hands over secrets in memory of its own")]
unsafe fn take(made: CRYPT_INTEGER_BLOB) -> Zeroizing<Vec<u8>> {
    // SAFETY: it is read and wiped while it is there, then freed, once.
    unsafe {
        let bytes = slice::from_raw_parts_mut(made.pbData, made.cbData as usize);
        let taken = Zeroizing::new(bytes.to_vec());
        bytes.zeroize();
        LocalFree(made.pbData.cast());
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_to_this_user_alone() {
        let encrypted = protect_data(&[7; 32]).unwrap();
        assert!(encrypted.len() > 32 && !encrypted.windows(16).any(|part| part == [7; 16]));
        assert_eq!(*unprotect_data(&encrypted).unwrap(), [7; 32]);
        let half = &encrypted[..encrypted.len() / 2];
        for other in [half, b"", b"no such blob"] {
            assert!(unprotect_data(other).is_err(), "{other:?}");
        }
    }
}
