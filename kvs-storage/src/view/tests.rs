use super::*;

const MS: i64 = 1_000_000;
const START: ItemFlags = ItemFlags::FRAGMENT_START.with(ItemFlags::KEY);

fn item(seq: u64, flags: ItemFlags) -> ItemMeta {
    let pts = i64::try_from(seq).unwrap() * 40 * MS;
    ItemMeta {
        seq,
        pts,
        dts: pts,
        duration: 40_000_000,
        track: 1,
        flags,
        len: 100,
    }
}

/// Fragments of three items: 0..3, 3..6, …; the last one stays open.
fn view_of(fragments: u64) -> ContentView {
    view_with(ViewLimits::default(), fragments)
}

fn view_with(limits: ViewLimits, fragments: u64) -> ContentView {
    let mut view = ContentView::new(limits);
    for seq in 0..fragments * 3 {
        let flags = if seq % 3 == 0 { START } else { ItemFlags::NONE };
        assert_eq!(view.append(item(seq, flags)).unwrap(), Appended::Held);
    }
    view
}

fn advance(view: &mut ContentView, items: usize) {
    for _ in 0..items {
        view.advance().unwrap();
    }
}

fn first_seqs(view: &ContentView) -> Vec<u64> {
    view.fragments()
        .map(|fragment| fragment.stored.first_seq)
        .collect()
}

#[test]
fn items_are_sent_in_order_up_to_the_head() {
    let mut view = view_of(2);
    let sent: Vec<u64> = std::iter::from_fn(|| view.advance())
        .map(|item| item.seq)
        .collect();
    assert_eq!(sent, [0, 1, 2, 3, 4, 5]);
    assert_eq!(view.next(), Next::Nothing);
    let _ = view.append(item(6, ItemFlags::NONE)).unwrap();
    assert_eq!(view.current().unwrap().seq, 6, "the open fragment goes on");
}

#[test]
fn totals_count_what_is_held_and_what_is_unsent() {
    let mut view = view_of(2);
    advance(&mut view, 2);
    let held = view.totals();
    assert_eq!(
        (held.items, held.bytes, held.duration),
        (6, 600, Duration::from_millis(240))
    );
    let unsent = view.unsent();
    assert_eq!(
        (unsent.items, unsent.bytes, unsent.duration),
        (4, 400, Duration::from_millis(160))
    );
}

#[test]
fn sequence_numbers_must_rise_and_may_leave_gaps() {
    let mut view = view_of(1);
    assert_eq!(
        view.append(item(2, START)).unwrap_err().kind(),
        StoreErrorKind::OutOfOrder
    );
    assert_eq!(view.append(item(9, START)).unwrap(), Appended::Held);
    assert_eq!(view.fragment(9).unwrap().stored.first_seq, 9);
    assert_eq!(view.fragment(5), None);
    assert_eq!(view.item(1).unwrap().seq, 1);
    assert_eq!(view.item(5), None);
}

#[test]
fn an_item_outside_any_fragment_is_refused() {
    let mut view = ContentView::default();
    assert_eq!(
        view.append(item(0, ItemFlags::NONE)).unwrap_err().kind(),
        StoreErrorKind::InvalidArgument
    );
    let mut view = view_of(1);
    view.close_fragment();
    assert_eq!(
        view.append(item(3, ItemFlags::NONE)).unwrap_err().kind(),
        StoreErrorKind::InvalidArgument
    );
}

#[test]
fn limits_refuse_the_item_until_room_is_made() {
    let mut view = view_with(
        ViewLimits {
            max_items: Some(6),
            max_duration: None,
        },
        2,
    );
    assert_eq!(
        view.append(item(6, START)).unwrap_err().kind(),
        StoreErrorKind::Full
    );
    let gone = view.evict(OverflowPolicy::DropUntilFragmentStart).unwrap();
    assert_eq!(Range::from(gone.seqs), 0..3);
    assert_eq!(view.append(item(6, START)).unwrap(), Appended::Held);

    let limits = ViewLimits {
        max_items: None,
        max_duration: Some(Duration::from_millis(240)),
    };
    let mut view = view_with(limits, 2);
    assert_eq!(
        view.append(item(6, START)).unwrap_err().kind(),
        StoreErrorKind::Full
    );
    view.evict(OverflowPolicy::DropTailItem).unwrap();
    assert_eq!(view.append(item(6, START)).unwrap(), Appended::Held);
}

#[test]
fn the_fragment_being_sent_is_passed_over_by_every_drop() {
    for policy in [
        OverflowPolicy::DropUntilFragmentStart,
        OverflowPolicy::DropTailItem,
    ] {
        let mut view = view_of(3);
        advance(&mut view, 1);
        assert_eq!(view.sending().unwrap().stored.first_seq, 0);
        assert_eq!(view.evict(policy).unwrap().fragment.stored.first_seq, 3);
        assert_eq!(view.evict(policy).unwrap().fragment.stored.first_seq, 6);
        assert_eq!(view.evict(policy), None);
        assert_eq!(view.trim_to(100), []);
        assert_eq!(
            view.evict_fragment(0).unwrap_err().kind(),
            StoreErrorKind::BeingSent
        );
        advance(&mut view, 2);
        assert_eq!(view.evict(policy).unwrap().sent, Tally { items: 3, bytes: 300 });
    }
}

#[test]
fn dropping_the_open_fragment_orphans_the_rest_of_it() {
    let mut view = view_of(1);
    let gone = view.evict(OverflowPolicy::DropUntilFragmentStart).unwrap();
    assert_eq!(gone.unsent, Tally { items: 3, bytes: 300 });
    assert_eq!(view.append(item(3, ItemFlags::NONE)).unwrap(), Appended::Orphaned);
    assert_eq!(view.append(item(4, START)).unwrap(), Appended::Held);
    assert_eq!(first_seqs(&view), [4]);
}

#[test]
fn items_before_the_key_frame_can_go_alone_and_the_key_frame_takes_the_rest() {
    let mut view = ContentView::default();
    let _ = view.append(item(0, ItemFlags::FRAGMENT_START)).unwrap();
    let _ = view.append(item(1, ItemFlags::KEY)).unwrap();
    let _ = view.append(item(2, ItemFlags::NONE)).unwrap();
    let first = view.evict(OverflowPolicy::DropTailItem).unwrap();
    assert_eq!((Range::from(first.seqs), first.sent_end), (0..1, 0));
    let rest = view.evict(OverflowPolicy::DropTailItem).unwrap();
    assert_eq!(Range::from(rest.seqs), 1..3);
    assert!(view.is_empty());
}

#[test]
fn policies_that_refuse_or_wait_drop_nothing() {
    let mut view = view_of(2);
    assert_eq!(view.evict(OverflowPolicy::Refuse), None);
    assert_eq!(view.evict(OverflowPolicy::Wait(Duration::from_secs(1))), None);
    assert_eq!(view.totals().items, 6);
}

#[test]
fn a_removal_tells_what_may_have_arrived() {
    let mut view = view_of(2);
    advance(&mut view, 2);
    view.rollback_to(0).unwrap();
    let gone = view.evict(OverflowPolicy::DropUntilFragmentStart).unwrap();
    assert_eq!((gone.sent.items, gone.unsent.items, gone.sent_end), (2, 1, 2));
    assert_eq!(view.current().unwrap().seq, 3);
}

#[test]
fn a_rollback_starts_at_a_key_fragment_that_was_reached() {
    let mut view = view_of(3);
    advance(&mut view, 5);
    view.rollback_to(3).unwrap();
    assert_eq!(view.current().unwrap().seq, 3);
    view.rollback_to(0).unwrap();
    assert_eq!((view.current().unwrap().seq, view.unsent().items), (0, 9));
    assert_eq!(
        view.rollback_to(6).unwrap_err().kind(),
        StoreErrorKind::InvalidArgument
    );
    assert_eq!(view.rollback_to(1).unwrap_err().kind(), StoreErrorKind::NotFound);

    let mut audio_only = ContentView::default();
    let _ = audio_only.append(item(0, ItemFlags::FRAGMENT_START)).unwrap();
    assert_eq!(
        audio_only.rollback_to(0).unwrap_err().kind(),
        StoreErrorKind::NotAKeyFragment
    );
}

#[test]
fn resending_skips_delivered_fragments() {
    let mut view = view_of(4);
    advance(&mut view, 10);
    view.deliver(3).unwrap();
    assert_eq!(view.poll_delivered().unwrap().fragment.stored.first_seq, 3);
    assert_eq!(view.first_undelivered().unwrap().stored.first_seq, 0);
    view.rollback_to(0).unwrap();
    let sent: Vec<u64> = std::iter::from_fn(|| view.advance())
        .map(|item| item.seq)
        .collect();
    assert_eq!(sent, [0, 1, 2, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn a_fragment_delivered_while_it_is_being_resent_is_finished_first() {
    let mut view = view_of(2);
    advance(&mut view, 4);
    view.rollback_to(0).unwrap();
    advance(&mut view, 1);
    view.deliver(0).unwrap();
    assert_eq!(view.poll_delivered(), None, "its cluster is under way");
    advance(&mut view, 2);
    assert_eq!(view.poll_delivered().unwrap().fragment.stored.first_seq, 0);
    assert_eq!(first_seqs(&view), [3]);
}

#[test]
fn a_fragment_delivered_while_it_is_being_sent_leaves_at_a_rollback() {
    let mut view = view_of(2);
    advance(&mut view, 2);
    view.deliver(0).unwrap();
    view.rollback_to(0).unwrap();
    assert_eq!(view.current().unwrap().seq, 3);
    assert_eq!(view.poll_delivered().unwrap().seqs, Range64 { start: 0, end: 3 });
}

#[test]
fn acks_only_gain_strength() {
    let mut view = view_of(1);
    assert_eq!(view.mark_ack(0, AckState::Received).unwrap(), AckState::Received);
    assert_eq!(view.mark_ack(0, AckState::Buffering).unwrap(), AckState::Received);
    assert_eq!(
        view.mark_ack(0, AckState::Persisted).unwrap(),
        AckState::Persisted
    );
    assert_eq!(
        view.mark_ack(7, AckState::Persisted).unwrap_err().kind(),
        StoreErrorKind::NotFound
    );
}

#[test]
fn trimming_removes_whole_fragments_from_the_tail() {
    let mut view = view_of(3);
    advance(&mut view, 9);
    let removed = view.trim_to(7);
    assert_eq!(removed.len(), 2);
    assert_eq!(first_seqs(&view), [6]);
}

#[test]
fn a_restored_backlog_is_paged_in_before_it_is_sent() {
    let mut view = ContentView::default();
    let metas = [item(10, START), item(11, ItemFlags::NONE)];
    let mut stored = StoredFragment::starting_with(&metas[0]);
    stored.extend(&metas[1]);
    view.restore(stored).unwrap();
    let _ = view.append(item(12, START)).unwrap();
    assert_eq!((view.totals().items, view.unsent().items), (3, 3));
    let Next::PageIn(fragment) = view.next() else {
        panic!("its items aren't in memory")
    };
    assert_eq!(fragment.stored, stored);
    assert_eq!(view.page_in(10, &metas).unwrap(), Tally::default());
    assert_eq!(view.advance().unwrap().seq, 10);
    assert_eq!(view.page_out(10).unwrap_err().kind(), StoreErrorKind::BeingSent);
    advance(&mut view, 1);
    view.page_out(10).unwrap();
    assert_eq!(view.current().unwrap().seq, 12);
    view.rollback_to(10).unwrap();
    assert!(matches!(view.next(), Next::PageIn(_)));
}

#[test]
fn items_that_the_store_lost_leave_the_window_when_paged_in() {
    let mut view = ContentView::default();
    let metas = [item(0, START), item(1, ItemFlags::NONE), item(2, ItemFlags::NONE)];
    let mut stored = StoredFragment::starting_with(&metas[0]);
    metas[1..].iter().for_each(|meta| stored.extend(meta));
    view.restore(stored).unwrap();
    assert_eq!(
        view.page_in(0, &metas[1..]).unwrap_err().kind(),
        StoreErrorKind::NotAKeyFragment
    );
    assert_eq!(
        view.page_in(0, &[item(7, START)]).unwrap_err().kind(),
        StoreErrorKind::OutOfOrder
    );
    assert_eq!(
        view.page_in(0, &[metas[0], metas[2]]).unwrap(),
        Tally { items: 1, bytes: 100 }
    );
    assert_eq!((view.totals().items, view.unsent().bytes), (2, 200));
}

#[test]
fn ranges_of_items_cross_fragments() {
    let view = view_of(3);
    let seqs: Vec<u64> = view.items(2..7).map(|item| item.seq).collect();
    assert_eq!(seqs, [2, 3, 4, 5, 6]);
}
