//! What a power cut leaves: everything that was synced, and any part of the rest.

use std::collections::BTreeMap;

use super::tree::{DirId, Node, ROOT, Tree};
use super::{Change, Content, Inode, lock, put};

/// Which part of what was not synced a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the worst that an orderly disk does.
    Nothing,
    /// Everything: all had reached the disk already.
    Everything,
    /// Some part, chosen by a seed: prefixes, single pages, sectors, lengths without bytes, with
    /// or without the directory entries.
    Seed(u64),
    /// Bit i (from the lowest) says whether the i-th choice is kept; see
    /// [`super::MemoryDisk::choices`]. Choices past the 64th are not kept.
    Mask(u64),
}

/// The unit that a disk writes as a whole.
const SECTOR: usize = 512;
/// The unit that the operating system writes.
const PAGE: usize = 4096;

/// Takes the decisions, in one fixed order.
struct Chooser {
    keep: Keep,
    random: u64,
    taken: usize,
    entries: Odds,
    data: Odds,
    piece: usize,
    grow: bool,
}

/// How a class of choices goes.
#[derive(Debug, Clone, Copy)]
enum Odds {
    /// So many of 256 are kept, each for itself.
    Each(u64),
    /// Kept up to some point, which so many of 256 pass.
    Prefix(u64),
}

impl Chooser {
    fn new(keep: Keep) -> Self {
        let mut chooser = Self {
            keep,
            random: 0,
            taken: 0,
            entries: Odds::Each(128),
            data: Odds::Each(128),
            piece: PAGE,
            grow: false,
        };
        if let Keep::Seed(seed) = keep {
            chooser.random = seed;
            let odds = [
                Odds::Each(0),
                Odds::Each(24),
                Odds::Each(128),
                Odds::Each(232),
                Odds::Each(256),
                Odds::Prefix(230),
                Odds::Prefix(128),
            ];
            let mut draw = |from: u64| usize::try_from(chooser.next() % from).unwrap_or(0);
            let (entries, data) = (draw(7), draw(7));
            let (piece, grow) = ([SECTOR, PAGE, PAGE][draw(3)], draw(3) == 0);
            chooser.entries = odds[entries];
            chooser.data = odds[data];
            chooser.piece = piece;
            chooser.grow = grow;
        }
        chooser
    }

    /// SplitMix64: one addition and a mix a number, any seed is good.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Whether the next choice is kept. `alive` tells whether all before it were.
    fn choose(&mut self, odds: Odds, alive: &mut bool) -> bool {
        let choice = self.taken;
        self.taken += 1;
        match self.keep {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Mask(mask) => choice < 64 && mask >> choice & 1 == 1,
            Keep::Seed(_) => match odds {
                Odds::Each(of_256) => self.next() % 256 < of_256,
                Odds::Prefix(of_256) => {
                    *alive = *alive && self.next() % 256 < of_256;
                    *alive
                }
            },
        }
    }

    /// The bytes of one file after the cut.
    fn file(&mut self, content: &Content) -> Vec<u8> {
        let mut bytes = content.durable.clone();
        let mut alive = true;
        for change in &content.unsynced {
            match change {
                Change::SetLen(_) => {
                    if self.choose(self.data, &mut alive) {
                        change.apply(&mut bytes);
                    }
                }
                Change::Write {
                    position,
                    bytes: written,
                } => self.write(&mut bytes, *position, written, &mut alive),
            }
        }
        bytes
    }

    /// Keep some of a write's pieces, which end where pages or sectors of the file do.
    fn write(&mut self, bytes: &mut Vec<u8>, position: usize, written: &[u8], alive: &mut bool) {
        let mut from = 0;
        while from < written.len() {
            let at = position + from;
            let len = (self.piece - at % self.piece).min(written.len() - from);
            if self.choose(self.data, alive) {
                put(bytes, at, &written[from..from + len]);
            } else if self.grow && bytes.len() < at + len && self.next().is_multiple_of(4) {
                // The length reached the disk, the bytes did not.
                bytes.resize(at + len, 0);
            }
            from += len;
        }
    }
}

impl Tree {
    /// The tree that the next boot finds.
    pub(super) fn after_cut(&self, keep: Keep) -> Self {
        self.cut(&mut Chooser::new(keep))
    }

    pub(super) fn choices(&self) -> usize {
        let mut chooser = Chooser::new(Keep::Everything);
        self.cut(&mut chooser);
        chooser.taken
    }

    fn cut(&self, chooser: &mut Chooser) -> Self {
        let mut names: BTreeMap<DirId, BTreeMap<String, Node>> = BTreeMap::new();
        for (id, dir) in &self.dirs {
            names.insert(*id, dir.durable.clone());
        }
        let mut alive = true;
        for edit in self.edits.values() {
            if chooser.choose(chooser.entries, &mut alive) {
                for (dir, name, node) in &edit.0 {
                    let entries = names.entry(*dir).or_default();
                    match node {
                        Some(node) => entries.insert(name.clone(), node.clone()),
                        None => entries.remove(name),
                    };
                }
            }
        }
        let mut after = Self::default();
        after.copy_from(&names, ROOT, ROOT, chooser);
        after
    }

    /// Copy directory `from` of `names` into our directory `to`: all of it is durable.
    fn copy_from(
        &mut self,
        names: &BTreeMap<DirId, BTreeMap<String, Node>>,
        from: DirId,
        to: DirId,
        chooser: &mut Chooser,
    ) {
        let Some(entries) = names.get(&from) else {
            return;
        };
        for (name, node) in entries {
            let copy = match node {
                Node::Dir(below) => {
                    let dir = self.new_dir();
                    self.copy_from(names, *below, dir, chooser);
                    Node::Dir(dir)
                }
                Node::File(inode) => {
                    let bytes = chooser.file(&lock(&inode.content));
                    let content = Content {
                        durable: bytes.clone(),
                        now: bytes,
                        unsynced: Vec::new(),
                    };
                    Node::File(Inode::new(content, true))
                }
            };
            if let Some(dir) = self.dirs.get_mut(&to) {
                dir.now.insert(name.clone(), copy.clone());
                dir.durable.insert(name.clone(), copy);
            }
        }
    }
}
