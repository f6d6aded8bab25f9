//! A disk in memory that does what disks do when the power goes: unsynced pages are lost, reordered or torn, unsynced names
//! come back or vanish; and any call may fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::disk::{DirEntry, Disk, DiskFile, DiskLock, EntryKind};

/// Small, so that short files have many.
const PAGE: usize = 256;

/// How often calls fail, one in so many; 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) no_space: u32,
    pub(crate) device: u32,
    pub(crate) short_write: u32,
}

#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<DiskState>>,
}

struct DiskState {
    rng: fastrand::Rng,
    faults: Faults,
    /// Calls until the power goes.
    power: Option<u32>,
    files: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the directory was synced.
    name_log: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What a reader sees.
    data: Vec<u8>,
    /// What is on the platter for good; what a failed sync left there included.
    backing: Vec<u8>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        let (NameChange::Set(path, _) | NameChange::Remove(path) | NameChange::Rename(path, _, _)) = self;
        path.parent() == Some(dir)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Set(path, inode) => drop(names.insert(path.clone(), *inode)),
            NameChange::Remove(path) => drop(names.remove(path)),
            NameChange::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> SimDisk {
        let state = DiskState {
            rng: fastrand::Rng::with_seed(seed),
            faults: Faults::default(),
            power: None,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_log: Vec::new(),
            dirs: BTreeSet::new(),
        };
        SimDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Lets the power go after so many more calls.
    pub(crate) fn cut_power_after(&self, calls: u32) {
        self.state().power = Some(calls);
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state().power == Some(0)
    }

    /// The power goes, and comes back.
    pub(crate) fn crash(&self) {
        let mut state = self.state();
        let state = &mut *state;
        let mut names = state.durable_names.clone();
        for change in state.name_log.drain(..) {
            if state.rng.bool() {
                change.apply(&mut names);
            }
        }
        for file in &mut state.files {
            let mut survived = std::mem::take(&mut file.backing);
            survived.extend(survivors(&file.data, survived.len(), &mut state.rng));
            *file = Inode {
                data: survived.clone(),
                backing: survived,
            };
        }
        state.names.clone_from(&names);
        state.durable_names = names;
        state.power = None;
        state.faults = Faults::default();
    }

    /// Flips a bit of some file, if there is one long enough. Returns whether it did.
    pub(crate) fn flip_a_bit(&self) -> bool {
        let mut state = self.state();
        let inodes: Vec<usize> = state.names.values().copied().collect();
        let Some(inode) = (!inodes.is_empty()).then(|| inodes[state.rng.usize(..inodes.len())]) else {
            return false;
        };
        let len = state.files[inode].data.len();
        if len == 0 {
            return false;
        }
        let (place, bit) = (state.rng.usize(..len), state.rng.u8(..8));
        state.files[inode].data[place] ^= 1 << bit;
        state.files[inode].backing = state.files[inode].data.clone();
        true
    }
}

/// What is left of the bytes after `synced`: the length may be short, and each page is there, lost, or torn.
fn survivors(data: &[u8], synced: usize, rng: &mut fastrand::Rng) -> Vec<u8> {
    let unsynced = data.get(synced..).unwrap_or_default();
    if unsynced.is_empty() {
        return Vec::new();
    }
    let mut left = unsynced[..rng.usize(..=unsynced.len())].to_vec();
    let keeps_all = rng.u8(..4) == 0;
    for page in left.chunks_mut(PAGE) {
        match rng.u8(..4) {
            _ if keeps_all => {}
            0 => page.fill(0),
            1 => {
                let cut = rng.usize(..page.len());
                page[cut..].fill(0);
            }
            _ => {}
        }
    }
    left
}

impl DiskState {
    /// Counts a call; fails if the power is off.
    fn call(&mut self) -> io::Result<()> {
        match &mut self.power {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(calls) => {
                *calls -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn one_in(&mut self, many: u32) -> bool {
        many > 0 && self.rng.u32(..many) == 0
    }

    fn may_fail(&mut self) -> io::Result<()> {
        self.call()?;
        let device = self.faults.device;
        if self.one_in(device) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    fn may_lack_space(&mut self) -> io::Result<()> {
        self.may_fail()?;
        let no_space = self.faults.no_space;
        if self.one_in(no_space) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_log.push(change);
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.may_lack_space()?;
        state.dirs.insert(dir.to_owned());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.state();
        state.may_fail()?;
        let names = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, inode): (&PathBuf, &usize)| DirEntry {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            kind: EntryKind::File,
            len: state.files[*inode].data.len() as u64,
        };
        Ok(names.map(entry).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.may_lack_space()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.files.len();
        state.files.push(Inode::default());
        state.change_name(NameChange::Set(path.to_owned(), inode));
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.may_fail()?;
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.may_fail()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.may_fail()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.may_fail()?;
        let state = &mut *state;
        let (synced, rest) = std::mem::take(&mut state.name_log)
            .into_iter()
            .partition(|change| change.is_in(dir));
        state.name_log = rest;
        let synced: Vec<NameChange> = synced;
        synced
            .iter()
            .for_each(|change| change.apply(&mut state.durable_names));
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn DiskLock>> {
        Ok(Box::new(SimLock))
    }
}

struct SimLock;

impl DiskLock for SimLock {}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.may_lack_space()?;
        let mut bytes = slices.iter().map(|slice| &slice[..]).collect::<Vec<_>>().concat();
        let short_write = state.faults.short_write;
        if state.one_in(short_write) && bytes.len() > 1 {
            let cut = state.rng.usize(1..bytes.len());
            bytes.truncate(cut);
        }
        state.files[self.inode].data.extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.may_fail()?;
        let data = &state.files[self.inode].data;
        let rest = data.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call()?;
        let device = state.faults.device;
        let outcome = match state.one_in(device) {
            true => Err(io::Error::from_raw_os_error(5)),
            false => Ok(()),
        };
        let state = &mut *state;
        let file = &mut state.files[self.inode];
        let synced = file.backing.len();
        match outcome {
            Ok(()) => {
                let rest = file.data[synced..].to_vec();
                file.backing.extend(rest);
            }
            Err(_) => {
                // As on Linux: the pages count as clean from now on, whatever became of them, and no later sync writes them.
                let mut fate = survivors(&file.data, synced, &mut state.rng);
                fate.resize(file.data.len() - synced, 0);
                file.backing.extend(fate);
            }
        }
        outcome
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.may_fail()?;
        Ok(state.files[self.inode].data.len() as u64)
    }
}
