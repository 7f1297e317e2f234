//! Why a server does not start, as sentences for whoever started it.

use std::fmt;
use std::io;

use ratel_storage::StorageError;

use super::DirectoryError;

/// Why a server does not start.
#[derive(Debug)]
pub enum StartError {
    /// The data directory cannot be used.
    Directory(DirectoryError),
    /// An address cannot be listened on.
    Bind {
        /// The key that gives the address.
        key: &'static str,
        /// The address as it was given.
        address: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// The log cannot be opened.
    Storage(StorageError),
    /// What the log holds cannot be taken up again, for this reason.
    Recovery(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Bind {
                key,
                address,
                error,
            } => {
                write!(f, "cannot listen on {address} ({key}): ")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        write!(
                            f,
                            "another program does; stop it, or give {key} another port"
                        )
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        write!(
                            f,
                            "no interface of this machine has it; give {key} another host"
                        )
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "not permitted; give {key} a port above 1023")
                    }
                    _ => write!(f, "{error}"),
                }
            }
            Self::Storage(error) => write!(
                f,
                "cannot open the log: {error}; `ratel doctor` tells what is wrong with it"
            ),
            Self::Recovery(why) => write!(
                f,
                "cannot take up the log: {why}; `ratel doctor` tells what is wrong with it"
            ),
        }
    }
}

impl std::error::Error for StartError {}

impl From<DirectoryError> for StartError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}
