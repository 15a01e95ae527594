//! Tests of signed URLs and tokens.

use super::*;

fn grant() -> UploadGrant {
    UploadGrant {
        key: RecordKey {
            org: OrgCode::parse("DEMO").unwrap(),
            container: crate::domain::ContainerName::parse("demo").unwrap(),
            record_id: crate::domain::RecordId::parse("r-1").unwrap(),
        },
        object_id: Uuid::from_u128(7),
        content_type: "text/plain".to_owned(),
        size: 20,
        md5: Md5::of(b"x"),
        expires_at: Timestamp::from_millis(1),
    }
}

#[test]
fn a_token_altered_in_any_one_character_is_nothing() {
    let signer = Signer::new([7; 32]);
    let token = signer.seal(Purpose::UploadUrl, &grant());
    assert_eq!(signer.open(Purpose::UploadUrl, &token), Some(grant()));
    for at in 0..token.len() {
        for other in "AZaz09-_.=+/ ~%".chars() {
            let mut altered = token.clone();
            altered.replace_range(at..=at, &other.to_string());
            if altered != token {
                assert_eq!(
                    signer.open::<UploadGrant>(Purpose::UploadUrl, &altered),
                    None,
                    "{altered}"
                );
            }
        }
    }
}

#[test]
fn a_token_of_one_purpose_is_nothing_for_another() {
    let signer = Signer::new([7; 32]);
    let token = signer.seal(Purpose::UploadUrl, &grant());
    for purpose in [
        Purpose::DownloadUrl,
        Purpose::ContentToken,
        Purpose::ExportUrl,
        Purpose::ListCursor,
    ] {
        assert_eq!(signer.open::<UploadGrant>(purpose, &token), None);
    }
    assert_eq!(
        Signer::new([8; 32]).open::<UploadGrant>(Purpose::UploadUrl, &token),
        None
    );
}

#[test]
fn a_download_url_of_an_earlier_version_still_works() {
    let signer = Signer::new([7; 32]);
    let upload = grant();
    let earlier = EarlierDownloadGrant {
        org: upload.key.org,
        object_id: upload.object_id,
        content_type: upload.content_type,
        size: upload.size,
        md5: upload.md5,
        expires_at: upload.expires_at,
    };
    let token = signer.seal(Purpose::DownloadUrl, &earlier);
    let mut wanted = DownloadGrant::from(earlier);
    let unnamed = Disposition::default();
    let opened = Some((wanted.clone(), unnamed.clone(), None));
    assert_eq!(signer.open_download(&token), opened);
    wanted.sha256 = Some([9; 32]);
    let token = signer.seal(Purpose::DownloadUrl, &wanted);
    assert_eq!(
        signer.open_download(&token),
        Some((wanted.clone(), unnamed, None))
    );
    let named = Disposition {
        name: "blob-1".to_owned(),
        inline: true,
    };
    let token = signer.seal(Purpose::NamedDownloadUrl, &(wanted.clone(), named.clone()));
    let opened = Some((wanted.clone(), named.clone(), None));
    assert_eq!(signer.open_download(&token), opened);
    let decoded = Decoded {
        size: 7,
        md5: Md5::of(b"decoded"),
    };
    let value = (wanted, named, Some(decoded));
    let token = signer.seal(Purpose::DecodableDownloadUrl, &value);
    assert_eq!(signer.open_download(&token), Some(value));
}

#[test]
fn the_key_is_made_once_and_refused_when_others_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    let open = || Signer::open_or_create(&keys, Clock::system());
    let token = open().unwrap().seal(Purpose::UploadUrl, &grant());
    let again = open().unwrap();
    assert_eq!(again.open(Purpose::UploadUrl, &token), Some(grant()));
    let path = keys.join("signing.key");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(open(), Err(KeyError::Unfit { .. })));
}

#[test]
fn a_key_that_ended_is_removed_and_counted_and_the_current_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let signer = Signer::open_or_create(directory.path(), clock.clone()).unwrap();
    assert!(signer.is_new());
    let first = signer.current_key_id();
    assert_eq!(signer.remove_ended().unwrap(), 0);
    let until = clock.now().plus_millis(60_000);
    signer.rotate("second", clock.now(), Some(until)).unwrap();
    signer.rotate("third", clock.now(), Some(until)).unwrap();
    let ids = |signer: &Signer| -> Vec<String> {
        let facts = signer.key_facts().into_iter();
        facts.map(|facts| facts.id).collect()
    };
    assert_eq!(ids(&signer), ["third", "second", first.as_str()]);
    assert_eq!(signer.current_key_id(), "third");
    assert_eq!(signer.next_end(), Some(until));
    clock.advance(59_999);
    assert_eq!(signer.remove_ended().unwrap(), 0);
    clock.advance(1);
    assert_eq!(signer.remove_ended().unwrap(), 2);
    assert_eq!(ids(&signer), ["third"]);
    let again = Signer::open_or_create(directory.path(), clock).unwrap();
    assert!(!again.is_new());
    assert_eq!(ids(&again), ["third"]);
}
