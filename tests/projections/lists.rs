//! Lists of random histories, compared with what the records say.

use super::*;

pub(super) fn pages(
    store: &Store,
    org: &str,
    tag: Option<&Tag>,
    status: Status,
    limit: usize,
    now: Timestamp,
) -> Vec<RecordKey> {
    let filter = Filter {
        org: OrgCode::parse(org).expect("an org"),
        container: None,
        cccode: None,
        tag: tag.cloned(),
        statuses: vec![status],
        prefix: String::new(),
    };
    let (mut shown, mut from) = (Vec::new(), None);
    loop {
        let page = filter
            .page(store, from.as_deref(), limit, now)
            .expect("a page");
        shown.extend(page.items.into_iter().map(|(key, _)| key));
        from = page.next;
        if from.is_none() {
            return shown;
        }
    }
}

pub(super) fn wanted(
    world: &World,
    org: &str,
    tag: Option<&Tag>,
    status: Status,
    now: Timestamp,
) -> Vec<RecordKey> {
    let shows = |slot: &&RecordState| {
        let record = slot.record.clone().map(|record| record.as_of(now, None));
        let scrubbed = tag.is_some() && world.scrubbed.contains(&slot.key);
        !scrubbed
            && slot.key.org.as_str() == org
            && record.is_some_and(|record| {
                record.status == status && tag.is_none_or(|tag| record.tags.contains(tag))
            })
    };
    let mut keys: Vec<_> = world
        .slots
        .iter()
        .filter(shows)
        .map(|slot| slot.key.clone())
        .collect();
    keys.sort();
    keys
}
