//! The window against a model too simple to be wrong: lists searched from the front.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct ModelItem {
    meta: ItemMeta,
    sent: u32,
    sent_now: u32,
}

#[derive(Debug, Clone)]
struct ModelFragment {
    first_seq: u64,
    items: Vec<ModelItem>,
    closed: u32,
    delivered: u32,
    paged_out: u32,
}

/// Counts are 0 or 1 where a yes or no is meant, so that they can be summed and compared.
#[derive(Debug, Default)]
struct Model {
    fragments: Vec<ModelFragment>,
    next_seq: u64,
    orphaning: u32,
}

impl ModelFragment {
    fn sent_now(&self) -> usize {
        self.items.iter().filter(|item| item.sent_now == 1).count()
    }

    fn being_sent(&self) -> bool {
        let sent = self.sent_now();
        sent > 0 && !(self.closed == 1 && sent == self.items.len())
    }

    fn to_send(&self) -> Vec<&ModelItem> {
        if self.delivered == 1 && self.sent_now() == 0 {
            return Vec::new();
        }
        self.items.iter().filter(|item| item.sent_now == 0).collect()
    }
}

impl Model {
    fn append(&mut self, meta: ItemMeta) -> Option<Appended> {
        let starts = meta.flags.contains(ItemFlags::FRAGMENT_START);
        if !starts && self.orphaning == 1 {
            self.next_seq = meta.seq + 1;
            return Some(Appended::Orphaned);
        }
        let item = ModelItem {
            meta,
            sent: 0,
            sent_now: 0,
        };
        match self.fragments.last_mut() {
            Some(last) if !starts && last.closed == 0 => last.items.push(item),
            _ if !starts => return None,
            last => {
                if let Some(last) = last {
                    last.closed = 1;
                }
                let fragment = ModelFragment {
                    first_seq: meta.seq,
                    items: vec![item],
                    closed: 0,
                    delivered: 0,
                    paged_out: 0,
                };
                self.fragments.push(fragment);
            }
        }
        self.orphaning = 0;
        self.next_seq = meta.seq + 1;
        Some(Appended::Held)
    }

    /// Fragments before the first unfinished one are behind; that is where sending goes on.
    fn next(&mut self) -> Option<&mut ModelItem> {
        let fragment = self
            .fragments
            .iter_mut()
            .find(|fragment| !fragment.to_send().is_empty())?;
        if fragment.paged_out == 1 {
            return None;
        }
        fragment.items.iter_mut().find(|item| item.sent_now == 0)
    }

    fn evictable(&self) -> Option<usize> {
        self.fragments.iter().position(|fragment| !fragment.being_sent())
    }

    fn remove(&mut self, index: usize) -> Vec<ModelItem> {
        let fragment = self.fragments.remove(index);
        if fragment.closed == 0 {
            self.orphaning = 1;
        }
        fragment.items
    }
}

#[derive(Debug, Clone)]
enum Op {
    Append { start: u8, len: u8 },
    Close,
    Advance,
    Deliver(prop::sample::Index),
    PollDelivered,
    Rollback(prop::sample::Index),
    EvictFragment,
    EvictItem,
    Trim(prop::sample::Index),
    PageOut(prop::sample::Index),
    PageIn(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        8 => (0u8..4, any::<u8>()).prop_map(|(start, len)| Op::Append { start, len }),
        1 => Just(Op::Close),
        8 => Just(Op::Advance),
        2 => index().prop_map(Op::Deliver),
        2 => Just(Op::PollDelivered),
        1 => index().prop_map(Op::Rollback),
        1 => Just(Op::EvictFragment),
        1 => Just(Op::EvictItem),
        1 => index().prop_map(Op::Trim),
        1 => index().prop_map(Op::PageOut),
        1 => index().prop_map(Op::PageIn),
    ]
}

fn check_removed(removed: &Removed, items: &[ModelItem]) {
    let (sent, unsent): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.sent == 1);
    assert_eq!(
        (removed.sent.items, removed.unsent.items),
        (sent.len() as u64, unsent.len() as u64)
    );
    let bytes: u64 = items.iter().map(|item| u64::from(item.meta.len)).sum();
    assert_eq!(removed.sent.bytes + removed.unsent.bytes, bytes);
    assert_eq!(removed.seqs.start, items[0].meta.seq);
    assert_eq!(removed.seqs.end, items.last().unwrap().meta.seq + 1);
    assert_eq!(
        removed.sent_end,
        sent.last().map_or(removed.seqs.start, |item| item.meta.seq + 1)
    );
}

fn step(view: &mut ContentView, model: &mut Model, op: &Op) {
    let pick = |index: &prop::sample::Index| {
        (!model.fragments.is_empty()).then(|| index.index(model.fragments.len()))
    };
    match op {
        Op::Append { start, len } => {
            let seq = model.next_seq + u64::from(len % 3);
            let flags = match start {
                0 => ItemFlags::FRAGMENT_START.with(ItemFlags::KEY),
                1 if len % 5 == 0 => ItemFlags::FRAGMENT_START,
                2 if len % 3 == 0 => ItemFlags::KEY,
                _ => ItemFlags::NONE,
            };
            let pts = i64::try_from(seq).unwrap() * 10;
            let meta = ItemMeta {
                seq,
                pts,
                dts: pts,
                duration: 10,
                track: 1,
                flags,
                len: u32::from(*len),
            };
            assert_eq!(view.append(meta).ok(), model.append(meta));
        }
        Op::Close => {
            view.close_fragment();
            if let Some(last) = model.fragments.last_mut() {
                last.closed = 1;
            }
        }
        Op::Advance => {
            let expected = model.next().map(|item| {
                (item.sent, item.sent_now) = (1, 1);
                item.meta
            });
            assert_eq!(view.advance(), expected);
        }
        Op::Deliver(index) => {
            let Some(index) = pick(index) else { return };
            view.deliver(model.fragments[index].first_seq).unwrap();
            model.fragments[index].delivered = 1;
        }
        Op::PollDelivered => match view.poll_delivered() {
            Some(removed) => {
                let first_seq = removed.fragment.stored.first_seq;
                let index = model
                    .fragments
                    .iter()
                    .position(|fragment| fragment.first_seq == first_seq)
                    .unwrap();
                let fragment = &model.fragments[index];
                assert!(fragment.delivered == 1 && !fragment.being_sent() && fragment.closed == 1);
                check_removed(&removed, &model.remove(index));
            }
            None => assert!(
                !model
                    .fragments
                    .iter()
                    .any(|f| f.delivered == 1 && !f.being_sent() && f.closed == 1),
                "a delivered fragment was kept back"
            ),
        },
        Op::Rollback(index) => {
            let Some(index) = pick(index) else { return };
            let fragment = &model.fragments[index];
            let has_key = fragment
                .items
                .iter()
                .any(|item| item.meta.flags.contains(ItemFlags::KEY));
            let reached = model.fragments[..index]
                .iter()
                .all(|fragment| fragment.to_send().is_empty());
            // An open fragment that was sent so far counts as reached, and so do those before it only.
            let behind = model.fragments[..index]
                .iter()
                .all(|f| f.delivered == 1 || f.closed == 1);
            match view.rollback_to(fragment.first_seq) {
                Ok(()) => {
                    assert!(reached && behind, "rolled forward");
                    let rewound = model.fragments[index..]
                        .iter_mut()
                        .flat_map(|fragment| &mut fragment.items);
                    rewound.for_each(|item| item.sent_now = 0);
                }
                Err(error) if error.kind() == StoreErrorKind::NotAKeyFragment => assert!(!has_key),
                Err(error) => assert!(!(reached && behind), "{error}"),
            }
        }
        Op::EvictFragment => {
            let removed = view.evict(OverflowPolicy::DropUntilFragmentStart);
            assert_eq!(removed.is_some(), model.evictable().is_some());
            let (Some(removed), Some(index)) = (removed, model.evictable()) else {
                return;
            };
            check_removed(&removed, &model.remove(index));
        }
        Op::EvictItem => {
            let removed = view.evict(OverflowPolicy::DropTailItem);
            assert_eq!(removed.is_some(), model.evictable().is_some());
            let (Some(removed), Some(index)) = (removed, model.evictable()) else {
                return;
            };
            let fragment = &mut model.fragments[index];
            let alone = fragment.items.len() == 1;
            let key = fragment.items[0].meta.flags.contains(ItemFlags::KEY);
            if alone || key || fragment.paged_out == 1 {
                check_removed(&removed, &model.remove(index));
            } else {
                let item = fragment.items.remove(0);
                assert_eq!(removed.seqs.start, item.meta.seq);
                assert_eq!(removed.sent.items, u64::from(item.sent));
            }
        }
        Op::Trim(index) => {
            let Some(index) = pick(index) else { return };
            let end = model.fragments[index].items.last().unwrap().meta.seq + 1;
            for removed in view.trim_to(end) {
                let index = model
                    .fragments
                    .iter()
                    .position(|f| f.first_seq == removed.fragment.stored.first_seq);
                check_removed(&removed, &model.remove(index.unwrap()));
            }
            let left = model
                .fragments
                .iter()
                .filter(|f| f.items.last().unwrap().meta.seq < end);
            assert!(left.clone().all(ModelFragment::being_sent), "{left:?}");
        }
        Op::PageOut(index) => {
            let Some(index) = pick(index) else { return };
            let fragment = &mut model.fragments[index];
            let allowed = fragment.closed == 1 && !fragment.being_sent();
            assert_eq!(view.page_out(fragment.first_seq).is_ok(), allowed);
            if allowed {
                fragment.paged_out = 1;
            }
        }
        Op::PageIn(index) => {
            let Some(index) = pick(index) else { return };
            let fragment = &mut model.fragments[index];
            let metas: Vec<ItemMeta> = fragment.items.iter().map(|item| item.meta).collect();
            match view.page_in(fragment.first_seq, &metas) {
                Ok(lost) => assert_eq!(lost, Tally::default()),
                Err(error) => panic!("{error}"),
            }
            fragment.paged_out = 0;
        }
    }
}

fn compare(view: &ContentView, model: &mut Model) {
    let held = model.fragments.iter().flat_map(|fragment| &fragment.items);
    let bytes: u64 = held.clone().map(|item| u64::from(item.meta.len)).sum();
    assert_eq!(
        (view.totals().items, view.totals().bytes),
        (held.count() as u64, bytes)
    );
    let unsent: Vec<u64> = model
        .fragments
        .iter()
        .flat_map(ModelFragment::to_send)
        .map(|item| u64::from(item.meta.len))
        .collect();
    assert_eq!(
        (view.unsent().items, view.unsent().bytes),
        (unsent.len() as u64, unsent.iter().sum())
    );
    assert_eq!(view.current().copied(), model.next().map(|item| item.meta));
    let seen: Vec<(u64, u32)> = view
        .fragments()
        .map(|f| (f.stored.first_seq, f.stored.items))
        .collect();
    let expected: Vec<(u64, u32)> = model
        .fragments
        .iter()
        .map(|f| (f.first_seq, u32::try_from(f.items.len()).unwrap()))
        .collect();
    assert_eq!(seen, expected);
    let resident = model.fragments.iter().filter(|fragment| fragment.paged_out == 0);
    let metas: Vec<ItemMeta> = resident
        .flat_map(|fragment| &fragment.items)
        .map(|item| item.meta)
        .collect();
    assert_eq!(view.items(0..u64::MAX).copied().collect::<Vec<_>>(), metas);
    let sending: Vec<u64> = model
        .fragments
        .iter()
        .filter(|f| f.being_sent())
        .map(|f| f.first_seq)
        .collect();
    assert!(sending.len() <= 1);
    assert_eq!(
        view.sending().map(|fragment| fragment.stored.first_seq),
        sending.first().copied()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_window_behaves_like_plain_lists(ops in prop::collection::vec(op(), 1..150)) {
        let (mut view, mut model) = (ContentView::default(), Model::default());
        for op in &ops {
            step(&mut view, &mut model, op);
            compare(&view, &mut model);
        }
    }
}
