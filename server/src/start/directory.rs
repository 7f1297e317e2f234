//! The data directory: whose it is, and that only one server uses it at a time.
//!
//! ```text
//! ratel.lock       locked (flock) while a server runs; holds its process id
//! ratel.identity   written at the first start: format, cluster id, node id
//! ```

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use ratel_storage::disk::{Disk, File, Open, OsDisk, read_exact_at};
use rustix::fs::FlockOperation;

/// The file that is locked.
pub const LOCK: &str = "ratel.lock";
/// The file that says whose directory it is.
pub const IDENTITY: &str = "ratel.identity";
const IDENTITY_NEW: &str = "ratel.identity.new";
/// Kafka's own mark of a data directory.
const KAFKA: &str = "meta.properties";
/// What file systems put into their root by themselves.
const LOST_AND_FOUND: &str = "lost+found";
/// The version of the directory's layout that this program reads and writes.
const FORMAT: u32 = 1;
/// The longest identity or lock file that is read.
const FILE_BYTES_MAX: u64 = 4096;

/// Whose directory it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// 22 characters, made at the first start.
    pub cluster_id: String,
    /// `node.id` of the server that made it.
    pub node_id: i32,
}

/// Why a directory cannot be used. Each is a sentence for the person who started the server.
#[derive(Debug)]
pub enum DirectoryError {
    /// Another server uses it.
    Locked {
        /// The directory.
        dir: String,
        /// The other's process id, if it says.
        pid: Option<u32>,
    },
    /// Kafka's own.
    Kafka {
        /// The directory.
        dir: String,
    },
    /// Something lies in it that is not this server's.
    Foreign {
        /// The directory.
        dir: String,
        /// What lies there.
        name: String,
    },
    /// There is nothing of this server's in it.
    NoIdentity {
        /// The directory.
        dir: String,
    },
    /// A later version wrote it.
    Newer {
        /// The directory.
        dir: String,
        /// Its format.
        format: u32,
    },
    /// It belongs to another node.
    OtherNode {
        /// The directory.
        dir: String,
        /// Whose it is.
        found: i32,
        /// Who asked.
        configured: i32,
    },
    /// The identity file does not parse.
    Damaged {
        /// The directory.
        dir: String,
        /// What is wrong.
        why: String,
    },
    /// The operating system refused.
    Io {
        /// The directory.
        dir: String,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir, pid } => {
                write!(f, "the data directory {dir} is in use by another server")?;
                if let Some(pid) = pid {
                    write!(f, " (process {pid})")?;
                }
                write!(f, "; stop it, or give this one another log.dirs")
            }
            Self::Kafka { dir } => write!(
                f,
                "{dir} is a data directory of Apache Kafka (it holds {KAFKA}), whose format this \
                 server does not take over; give another log.dirs and copy topics with a client"
            ),
            Self::Foreign { dir, name } => write!(
                f,
                "{dir} holds {name}, which is not this server's; give an empty or new directory \
                 as log.dirs"
            ),
            Self::NoIdentity { dir } => write!(
                f,
                "{dir} is no data directory of this server (it holds no {IDENTITY})"
            ),
            Self::Newer { dir, format } => write!(
                f,
                "{dir} has format {format}, written by a later version; this one reads format \
                 {FORMAT}: start the later version again"
            ),
            Self::OtherNode {
                dir,
                found,
                configured,
            } => write!(
                f,
                "{dir} belongs to node {found}, but node.id is {configured}; set node.id={found} \
                 or give another log.dirs"
            ),
            Self::Damaged { dir, why } => write!(
                f,
                "{dir}/{IDENTITY} is damaged: {why}; restore it from a backup (it holds format, \
                 cluster.id and node.id)"
            ),
            Self::Io { dir, error } => write!(f, "cannot use the data directory {dir}: {error}"),
        }
    }
}

impl std::error::Error for DirectoryError {}

/// The lock on a directory, held while this lives.
#[derive(Debug)]
pub struct Lock {
    _file: Arc<dyn File>,
}

/// A disk, and the directory's name for messages.
pub struct Directory<'a> {
    disk: &'a dyn Disk,
    name: String,
}

impl<'a> Directory<'a> {
    /// The root of `disk`, called `name` in messages.
    #[must_use]
    pub fn new(disk: &'a dyn Disk, name: &Path) -> Self {
        Self {
            disk,
            name: name.display().to_string(),
        }
    }

    /// Make the directory if it is missing.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn create(&self) -> Result<(), DirectoryError> {
        self.disk.create_dir(Path::new("")).map_err(self.io())
    }

    /// Take the lock, or say who has it. The process id in the file is for people; what counts is
    /// the lock, which the system gives back when its process ends.
    ///
    /// # Errors
    /// [`DirectoryError::Locked`], or what the operating system says.
    pub fn lock(&self) -> Result<Lock, DirectoryError> {
        let file = self
            .disk
            .open(Path::new(LOCK), Open::Create)
            .map_err(self.io())?;
        if let Some(descriptor) = file.descriptor() {
            match rustix::fs::flock(descriptor, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let pid = read_text(&*file)
                        .ok()
                        .and_then(|text| text.trim().parse().ok());
                    return Err(DirectoryError::Locked {
                        dir: self.name.clone(),
                        pid,
                    });
                }
                Err(error) => return Err(self.io()(error.into())),
            }
        }
        let pid = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_at(&[IoSlice::new(pid.as_bytes())], 0))
            .map_err(self.io())?;
        Ok(Lock { _file: file })
    }

    /// The identity: the one that is there, or, in a directory without anything of anybody, a new
    /// one for `node_id`.
    ///
    /// # Errors
    /// Any [`DirectoryError`] but `Locked` and `NoIdentity`.
    pub fn identity(&self, node_id: i32) -> Result<Identity, DirectoryError> {
        if let Some(identity) = self.existing_identity()? {
            if identity.node_id != node_id {
                return Err(DirectoryError::OtherNode {
                    dir: self.name.clone(),
                    found: identity.node_id,
                    configured: node_id,
                });
            }
            return Ok(identity);
        }
        let identity = Identity {
            cluster_id: new_cluster_id(),
            node_id,
        };
        self.write(&identity).map_err(self.io())?;
        Ok(identity)
    }

    /// Refuse a directory that has no identity but something that is not ours: before anything is
    /// written into it.
    ///
    /// # Errors
    /// `Kafka`, `Foreign` or `Io`.
    pub fn check_foreign(&self) -> Result<(), DirectoryError> {
        let mut names = self.names()?;
        names.sort();
        if names.iter().any(|name| name == KAFKA) {
            return Err(DirectoryError::Kafka {
                dir: self.name.clone(),
            });
        }
        let own = [LOCK, IDENTITY_NEW, LOST_AND_FOUND];
        let is_ours = names.iter().any(|name| name == IDENTITY);
        match names.into_iter().find(|name| !own.contains(&name.as_str())) {
            Some(name) if !is_ours => Err(DirectoryError::Foreign {
                dir: self.name.clone(),
                name,
            }),
            _ => Ok(()),
        }
    }

    /// The identity that is there, if one is.
    ///
    /// # Errors
    /// `Kafka`, `Foreign`, `Newer`, `Damaged` or `Io`.
    pub fn existing_identity(&self) -> Result<Option<Identity>, DirectoryError> {
        self.check_foreign()?;
        if !self.names()?.iter().any(|name| name == IDENTITY) {
            return Ok(None);
        }
        let file = self
            .disk
            .open(Path::new(IDENTITY), Open::Read)
            .map_err(self.io())?;
        let text = read_text(&*file).map_err(self.io())?;
        self.parse(&text).map(Some)
    }

    fn names(&self) -> Result<Vec<String>, DirectoryError> {
        let entries = self.disk.list(Path::new("")).map_err(self.io())?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    fn write(&self, identity: &Identity) -> io::Result<()> {
        let text = format!(
            "# Whose directory this is. Written at the first start; do not change it.\n\
             format={FORMAT}\ncluster.id={}\nnode.id={}\n",
            identity.cluster_id, identity.node_id
        );
        let new = Path::new(IDENTITY_NEW);
        let file = self.disk.open(new, Open::Truncate)?;
        file.write_at(&[IoSlice::new(text.as_bytes())], 0)?;
        file.sync()?;
        self.disk.rename(new, Path::new(IDENTITY))?;
        self.disk.sync_dir(Path::new(""))
    }

    fn parse(&self, text: &str) -> Result<Identity, DirectoryError> {
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.trim())
                .ok_or_else(|| self.damaged(format!("it has no {key}")))
        };
        let number = |key: &str, text: &str| {
            text.parse::<i32>()
                .map_err(|_| self.damaged(format!("{key}={text} is not a whole number")))
        };
        let format = number("format", value("format")?)?;
        match u32::try_from(format) {
            Ok(FORMAT) => {}
            Ok(format) if format > FORMAT => {
                return Err(DirectoryError::Newer {
                    dir: self.name.clone(),
                    format,
                });
            }
            _ => return Err(self.damaged(format!("there is no format {format}"))),
        }
        let cluster_id = value("cluster.id")?;
        let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        if cluster_id.len() != 22 || !cluster_id.bytes().all(legal) {
            return Err(self.damaged(format!("cluster.id={cluster_id} is not a cluster's id")));
        }
        Ok(Identity {
            cluster_id: cluster_id.to_owned(),
            node_id: number("node.id", value("node.id")?)?,
        })
    }

    fn damaged(&self, why: String) -> DirectoryError {
        DirectoryError::Damaged {
            dir: self.name.clone(),
            why,
        }
    }

    fn io(&self) -> impl Fn(io::Error) -> DirectoryError + '_ {
        |error| DirectoryError::Io {
            dir: self.name.clone(),
            error,
        }
    }
}

/// Make the directory of `disk` if it is missing. Until it has an identity, the directories above
/// it are synced too: after a power cut it must not be the whole log that is missing.
///
/// # Errors
/// As of [`Directory::existing_identity`].
pub fn prepare(disk: &OsDisk) -> Result<(), DirectoryError> {
    let directory = Directory::new(disk, disk.root());
    directory.create()?;
    if directory.existing_identity()?.is_some() {
        return Ok(());
    }
    let path = std::path::absolute(disk.root()).map_err(directory.io())?;
    for above in path.ancestors().skip(1) {
        match OsDisk::new(above.to_owned()).sync_dir(Path::new("")) {
            Ok(()) => {}
            // Whoever may not read a directory has not made an entry in it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(directory.io()(error)),
        }
    }
    Ok(())
}

fn read_text(file: &dyn File) -> io::Result<String> {
    let len = file.size()?.min(FILE_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    read_exact_at(file, &mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// 16 random bytes in base64 of URLs, 22 characters (M-4). As in Kafka, none begins with `-`,
/// which command lines would take for a flag.
fn new_cluster_id() -> String {
    loop {
        let id = base64_url(uuid::Uuid::new_v4().as_bytes());
        if !id.starts_with('-') {
            return id;
        }
    }
}

fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        for digit in 0..=chunk.len() {
            let six = bits >> (18 - 6 * digit) & 63;
            out.push(char::from(ALPHABET[six as usize]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratel_storage::disk_memory::MemoryDisk;

    fn check_refused(disk: &dyn Disk, expected: &str) {
        let error = Directory::new(disk, Path::new("data"))
            .identity(1)
            .expect_err("the directory is refused");
        assert_eq!(error.to_string(), expected);
    }

    fn put(disk: &dyn Disk, name: &str, text: &str) {
        let file = disk.open(Path::new(name), Open::Truncate).expect("opens");
        file.write_at(&[IoSlice::new(text.as_bytes())], 0)
            .expect("writes");
    }

    #[test]
    fn m_4_the_cluster_id_has_22_characters_and_stays() {
        let disk = MemoryDisk::new();
        let directory = Directory::new(&disk, Path::new("data"));
        directory.create().expect("it is made");
        let first = directory.identity(3).expect("a new identity");
        assert_eq!(first.cluster_id.len(), 22);
        assert_eq!(directory.identity(3).expect("the same one"), first);
        let error = directory.identity(4).expect_err("another node");
        assert_eq!(
            error.to_string(),
            "data belongs to node 3, but node.id is 4; set node.id=3 or give another log.dirs"
        );
    }

    #[test]
    fn base64_of_urls_is_that_of_the_rfc() {
        assert_eq!(base64_url(b"foobar"), "Zm9vYmFy");
        assert_eq!(base64_url(b"foob"), "Zm9vYg");
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
        assert_eq!(base64_url(&[0; 16]), "A".repeat(22));
    }

    #[test]
    fn a_directory_of_kafka_or_of_anybody_is_refused_by_name() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("")).expect("made");
        put(&disk, "notes.txt", "mine");
        check_refused(
            &disk,
            "data holds notes.txt, which is not this server's; give an empty or new directory as \
             log.dirs",
        );
        put(&disk, "meta.properties", "version=1");
        check_refused(
            &disk,
            "data is a data directory of Apache Kafka (it holds meta.properties), whose format \
             this server does not take over; give another log.dirs and copy topics with a client",
        );
    }

    #[test]
    fn an_identity_that_cannot_be_read_is_refused() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("")).expect("made");
        for (text, expected) in [
            (
                "format=2\n",
                "data has format 2, written by a later version; this one reads format \
                1: start the later version again",
            ),
            (
                "format=1\nnode.id=1\n",
                "data/ratel.identity is damaged: it has no cluster.id; \
                restore it from a backup (it holds format, cluster.id and node.id)",
            ),
            (
                "",
                "data/ratel.identity is damaged: it has no format; restore it from a backup (it \
                holds format, cluster.id and node.id)",
            ),
            (
                "format=1\ncluster.id=../../../../etc/passwd\nnode.id=1\n",
                "data/ratel.identity is \
                damaged: cluster.id=../../../../etc/passwd is not a cluster's id; restore it from \
                a backup (it holds format, cluster.id and node.id)",
            ),
        ] {
            put(&disk, IDENTITY, text);
            check_refused(&disk, expected);
        }
    }

    #[test]
    fn a_second_lock_is_refused_with_the_directory_and_the_process() {
        let temporary = tempfile::tempdir().expect("a directory");
        let disk = OsDisk::new(temporary.path().to_owned());
        let directory = Directory::new(&disk, Path::new("data"));
        let lock = directory.lock().expect("the first lock");
        let error = directory.lock().expect_err("the second is refused");
        assert_eq!(
            error.to_string(),
            format!(
                "the data directory data is in use by another server (process {}); stop it, or \
                 give this one another log.dirs",
                std::process::id()
            )
        );
        drop(lock);
        directory.lock().expect("free again");
    }
}
