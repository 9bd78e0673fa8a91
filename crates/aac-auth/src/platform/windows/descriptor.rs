//! Security descriptors: whose a file is, and who may do what with it.

use crate::platform::windows::succeeded;
use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr::null_mut;
use std::slice;
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1,
    SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, OBJECT_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR,
};
use windows_sys::core::PWSTR;

/// A descriptor in memory of the system's, which is freed with this.
pub(super) struct Descriptor(PSECURITY_DESCRIPTOR);

#[expect(unsafe_code, reason = "no safe interface reads and writes descriptors")]
impl Descriptor {
    /// Reads this part of a file's.
    pub(super) fn of(file: &File, part: OBJECT_SECURITY_INFORMATION) -> io::Result<Self> {
        let mut descriptor = null_mut();
        // SAFETY: the handle is open for the whole call, and each pointer is null or leads to a variable of
        // its type. On success `descriptor` is memory to be freed with LocalFree, once.
        let code = unsafe {
            GetSecurityInfo(
                file.as_raw_handle(),
                SE_FILE_OBJECT,
                part,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                &mut descriptor,
            )
        };
        match code {
            0 => Ok(Self(descriptor)),
            code => Err(io::Error::from_raw_os_error(code.cast_signed())),
        }
    }

    /// Reads an access list as the system writes it (SDDL).
    pub(super) fn of_list(text: &str) -> io::Result<Self> {
        let text: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero, and exists for the whole call. On success `descriptor` is memory
        // to be freed with LocalFree, once.
        succeeded(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &mut descriptor,
                null_mut(),
            )
        })?;
        Ok(Self(descriptor))
    }

    /// The access list as the system writes it.
    pub(super) fn list(&self) -> io::Result<String> {
        let mut text = null_mut();
        // SAFETY: the descriptor is valid. On success `text` belongs to `take`.
        unsafe {
            succeeded(ConvertSecurityDescriptorToStringSecurityDescriptorW(
                self.0,
                SDDL_REVISION_1,
                DACL_SECURITY_INFORMATION,
                &mut text,
                null_mut(),
            ))?;
            Ok(take(text))
        }
    }

    /// The descriptor, as long as this exists.
    pub(super) fn as_ptr(&self) -> PSECURITY_DESCRIPTOR {
        self.0
    }
}

#[expect(unsafe_code, reason = "the system hands over descriptors in memory of its own")]
impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it is freed nowhere else.
        unsafe { LocalFree(self.0) };
    }
}

/// Takes over a text of the system's.
///
/// # Safety
///
/// The pointer leads to UTF-16 that ends with a zero, is to be freed with LocalFree, and belongs to nobody
/// else.
#[expect(unsafe_code, reason = "the system hands over texts in memory of its own")]
pub(super) unsafe fn take(text: PWSTR) -> String {
    // SAFETY: it is read up to its zero, then freed, once.
    unsafe {
        let length = (0..).take_while(|at| *text.add(*at) != 0).count();
        let taken = String::from_utf16_lossy(slice::from_raw_parts(text, length));
        LocalFree(text.cast());
        taken
    }
}
