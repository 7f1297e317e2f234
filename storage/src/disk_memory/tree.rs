//! The directories: what they hold now, what they hold after a power cut, and what lies between.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Content, Errno, Inode, error, lock};
use crate::disk::{Entry, Open};

/// A directory's number. The root is 0.
pub(super) type DirId = u64;

pub(super) const ROOT: DirId = 0;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Dir(DirId),
    File(Arc<Inode>),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Dir {
    pub(super) now: BTreeMap<String, Node>,
    pub(super) durable: BTreeMap<String, Node>,
    /// Numbers of the edits that are not durable, in order.
    pub(super) unsynced: BTreeSet<u64>,
}

/// What a power cut takes or leaves as one: the new meaning of some names.
#[derive(Debug, Clone)]
pub(super) struct Edit(pub(super) Vec<(DirId, String, Option<Node>)>);

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) dirs: HashMap<DirId, Dir>,
    pub(super) edits: BTreeMap<u64, Edit>,
    next_dir: DirId,
    next_edit: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            dirs: HashMap::from([(ROOT, Dir::default())]),
            edits: BTreeMap::new(),
            next_dir: ROOT + 1,
            next_edit: 0,
        }
    }
}

/// The names of a path below the root. A leading slash is allowed, `..` is not.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                names.push(name.to_str().ok_or_else(|| error(Errno::ILSEQ))?);
            }
            Component::ParentDir | Component::Prefix(_) => return Err(error(Errno::INVAL)),
        }
    }
    Ok(names)
}

fn set(entries: &mut BTreeMap<String, Node>, name: &str, node: Option<Node>) {
    match node {
        Some(node) => entries.insert(name.to_owned(), node),
        None => entries.remove(name),
    };
}

impl Tree {
    fn dir(&self, names: &[&str]) -> io::Result<DirId> {
        let mut at = ROOT;
        for name in names {
            match self.node(at, name) {
                Some(Node::Dir(dir)) => at = *dir,
                Some(Node::File(_)) => return Err(error(Errno::NOTDIR)),
                None => return Err(error(Errno::NOENT)),
            }
        }
        Ok(at)
    }

    fn node(&self, dir: DirId, name: &str) -> Option<&Node> {
        self.dirs.get(&dir)?.now.get(name)
    }

    /// The directory of a path's last name, and that name.
    fn place<'p>(&self, path: &'p Path) -> io::Result<(DirId, &'p str)> {
        let names = names(path)?;
        let (name, above) = names.split_last().ok_or_else(|| error(Errno::INVAL))?;
        Ok((self.dir(above)?, name))
    }

    fn edit(&mut self, edit: Edit) {
        let number = self.next_edit;
        self.next_edit += 1;
        for (dir, name, node) in &edit.0 {
            let dir = self.dirs.entry(*dir).or_default();
            set(&mut dir.now, name, node.clone());
            dir.unsynced.insert(number);
        }
        self.edits.insert(number, edit);
    }

    pub(super) fn open(&mut self, path: &Path, open: Open) -> io::Result<Arc<Inode>> {
        let (dir, name) = self.place(path)?;
        match self.node(dir, name) {
            Some(Node::File(inode)) => Ok(Arc::clone(inode)),
            Some(Node::Dir(_)) => Err(error(Errno::ISDIR)),
            None if matches!(open, Open::Create | Open::Truncate) => {
                let inode = Inode::new(Content::default(), true);
                let node = Node::File(Arc::clone(&inode));
                self.edit(Edit(vec![(dir, name.to_owned(), Some(node))]));
                Ok(inode)
            }
            None => Err(error(Errno::NOENT)),
        }
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let dir = self.dir(&names(dir)?)?;
        let entries = self.dirs.get(&dir).into_iter().flat_map(|dir| &dir.now);
        Ok(entries
            .map(|(name, node)| Entry {
                name: name.clone(),
                is_dir: matches!(node, Node::Dir(_)),
                len: match node {
                    Node::Dir(_) => 0,
                    Node::File(inode) => lock(&inode.content).now.len() as u64,
                },
            })
            .collect())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut at = ROOT;
        for name in names(path)? {
            at = match self.node(at, name) {
                Some(Node::Dir(dir)) => *dir,
                Some(Node::File(_)) => return Err(error(Errno::NOTDIR)),
                None => {
                    let dir = self.new_dir();
                    self.edit(Edit(vec![(at, name.to_owned(), Some(Node::Dir(dir)))]));
                    dir
                }
            };
        }
        Ok(())
    }

    pub(super) fn new_dir(&mut self) -> DirId {
        let dir = self.next_dir;
        self.next_dir += 1;
        self.dirs.insert(dir, Dir::default());
        dir
    }

    /// Gives the file that was replaced.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<Arc<Inode>>> {
        let (from_dir, from_name) = self.place(from)?;
        let (to_dir, to_name) = self.place(to)?;
        let node = self.node(from_dir, from_name).cloned();
        let node = node.ok_or_else(|| error(Errno::NOENT))?;
        if (from_dir, from_name) == (to_dir, to_name) {
            return Ok(None);
        }
        let replaced = match (&node, self.node(to_dir, to_name)) {
            (_, None) => None,
            (Node::File(_), Some(Node::File(replaced))) => Some(Arc::clone(replaced)),
            (Node::File(_), Some(Node::Dir(_))) => return Err(error(Errno::ISDIR)),
            (Node::Dir(_), Some(Node::File(_))) => return Err(error(Errno::NOTDIR)),
            (Node::Dir(_), Some(Node::Dir(_))) => return Err(error(Errno::NOTEMPTY)),
        };
        self.edit(Edit(vec![
            (from_dir, from_name.to_owned(), None),
            (to_dir, to_name.to_owned(), Some(node)),
        ]));
        Ok(replaced)
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<Arc<Inode>> {
        let (dir, name) = self.place(path)?;
        match self.node(dir, name).cloned() {
            None => Err(error(Errno::NOENT)),
            Some(Node::Dir(_)) => Err(error(Errno::ISDIR)),
            Some(Node::File(inode)) => {
                self.edit(Edit(vec![(dir, name.to_owned(), None)]));
                Ok(inode)
            }
        }
    }

    /// Gives the files that were below it.
    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<Vec<Arc<Inode>>> {
        let (above, name) = self.place(path)?;
        let Some(Node::Dir(dir)) = self.node(above, name).cloned() else {
            return Err(error(Errno::NOENT));
        };
        let mut removed = Vec::new();
        self.empty(dir, &mut removed);
        self.edit(Edit(vec![(above, name.to_owned(), None)]));
        Ok(removed)
    }

    fn empty(&mut self, dir: DirId, removed: &mut Vec<Arc<Inode>>) {
        let entries = self
            .dirs
            .get(&dir)
            .map(|dir| dir.now.clone())
            .unwrap_or_default();
        for (name, node) in entries {
            match node {
                Node::Dir(below) => self.empty(below, removed),
                Node::File(inode) => removed.push(inode),
            }
            self.edit(Edit(vec![(dir, name, None)]));
        }
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dir(&names(path)?)?;
        let numbers = self
            .dirs
            .get_mut(&dir)
            .map(|dir| std::mem::take(&mut dir.unsynced));
        for number in numbers.unwrap_or_default() {
            let Some(edit) = self.edits.remove(&number) else {
                continue;
            };
            for (dir, name, node) in edit.0 {
                if let Some(dir) = self.dirs.get_mut(&dir) {
                    set(&mut dir.durable, &name, node);
                    dir.unsynced.remove(&number);
                }
            }
        }
        Ok(())
    }

    /// Bytes of all files that have a name now.
    pub(super) fn bytes(&self) -> u64 {
        let nodes = self.dirs.values().flat_map(|dir| dir.now.values());
        nodes
            .map(|node| match node {
                Node::Dir(_) => 0,
                Node::File(inode) => lock(&inode.content).now.len() as u64,
            })
            .sum()
    }

    /// A copy that shares nothing with this tree; what is not durable stays so.
    pub(super) fn fork(&self) -> Self {
        let mut copies: HashMap<*const Inode, Arc<Inode>> = HashMap::new();
        let mut copy = |node: &Node| match node {
            Node::Dir(dir) => Node::Dir(*dir),
            Node::File(inode) => {
                let copy = copies.entry(Arc::as_ptr(inode)).or_insert_with(|| {
                    let content = lock(&inode.content).clone();
                    Inode::new(content, inode.named.load(Ordering::Relaxed))
                });
                Node::File(Arc::clone(copy))
            }
        };
        let mut fork = Self {
            dirs: self.dirs.clone(),
            edits: self.edits.clone(),
            next_dir: self.next_dir,
            next_edit: self.next_edit,
        };
        for dir in fork.dirs.values_mut() {
            for node in dir.now.values_mut().chain(dir.durable.values_mut()) {
                *node = copy(node);
            }
        }
        for node in fork.edits.values_mut().flat_map(|edit| &mut edit.0) {
            if let Some(node) = &mut node.2 {
                *node = copy(node);
            }
        }
        fork
    }
}
