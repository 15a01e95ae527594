//! Damage that a test does by hand: to the files of a running server, and to the rows of a stopped one.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::domain::Md5;
use metarecord::projections::Store;
use serde_json::{Value, json};

use crate::support::inside::Inside;

pub(super) const CONTAINER: &str = "blobs";
const CACHE_BYTES: u64 = 1 << 20;

/// What a reconcile is to say of one damage: the kind, and the record or what it is about.
pub(super) type Expected = (&'static str, String);

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Puts an upload over a record or as a new one, and completes it unless told otherwise; returns `data` of the put.
pub(super) fn upload(server: &Inside, id: &str, text: &str, complete: bool) -> Value {
    let gz = gzip(text);
    let (size, md5) = (gz.len(), Md5::of(&gz).to_string());
    let head = server.get(&format!(
        "/mrs/record/meta?orgcode=demo&container={CONTAINER}&record_id={id}"
    ));
    let mut body = json!({"orgcode": "demo", "container": CONTAINER, "record_id": id, "content_type": "text/plain",
        "size": size, "content_md5": md5, "tags": ["t", id.replace('-', "")]});
    if head.status == 200 {
        body["expected_revision"] = head.json()["revision"].clone();
    }
    let put = server.post("/mrs/record", &body).data();
    if complete {
        let url = put["upload"]["url"].as_str().expect("a url");
        let path = url.strip_prefix(&server.base_url).expect("a path");
        let sent = server.put_bytes(path, &gz);
        assert_eq!(sent.status, 200);
        let body = json!({"orgcode": "demo", "container": CONTAINER, "record_id": id,
            "content_token": put["content_token"], "size": size, "content_md5": md5});
        server.post("/mrs/record/complete", &body).data();
    }
    put
}

/// Every file of an object.
fn files(server: &Inside) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let root = server.dir.join("content/DEMO");
    for shelf in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let files = std::fs::read_dir(shelf.path()).into_iter().flatten();
        found.extend(files.flatten().map(|file| file.path()));
    }
    found.sort();
    found
}

/// Uploads something and tells its file.
pub(super) fn uploaded(server: &Inside, id: &str, text: &str) -> PathBuf {
    let before = files(server);
    upload(server, id, text, true);
    let mut new = files(server);
    new.retain(|file| !before.contains(file));
    assert_eq!(new.len(), 1);
    new.remove(0)
}

/// Does every damage to files; each is expected to be found once.
pub(super) fn spoil_files(server: &Inside) -> Vec<Expected> {
    let of = |id: &str| uploaded(server, id, &format!("the content of {id}"));
    let write = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).expect("written");
    let bytes = |path: &Path| std::fs::read(path).expect("read");

    std::fs::remove_file(of("f-deleted")).expect("removed");
    let path = of("f-truncated");
    write(&path, &bytes(&path)[..10]);
    let path = of("f-longer");
    write(&path, &[bytes(&path), vec![0]].concat());
    write(&of("f-empty"), b"");
    let path = of("f-altered");
    let mut altered = bytes(&path);
    altered[12] ^= 1;
    write(&path, &altered);
    // Two of one length, each in the other's place.
    let (one, other) = (of("f-swapped-1"), of("f-swapped-2"));
    let (first, second) = (bytes(&one), bytes(&other));
    assert_eq!(first.len(), second.len());
    write(&one, &second);
    write(&other, &first);
    // Earlier versions.
    let earlier = of("v-deleted");
    upload(server, "v-deleted", "another content", true);
    std::fs::remove_file(earlier).expect("removed");
    let earlier = of("v-altered");
    upload(server, "v-altered", "another content", true);
    let mut altered = bytes(&earlier);
    altered[12] ^= 1;
    write(&earlier, &altered);
    // One that lies on another shelf than its own.
    let path = of("f-moved");
    let shelf = path.parent().expect("a shelf");
    let wrong = shelf.with_file_name(match shelf.ends_with("00") {
        true => "01",
        false => "00",
    });
    std::fs::create_dir_all(&wrong).expect("made");
    let moved = wrong.join(path.file_name().expect("a name"));
    std::fs::rename(&path, &moved).expect("moved");
    // Files that nobody put there.
    let root = server.dir.join("content/DEMO");
    write(&root.join("notes.txt"), b"mine");
    std::fs::create_dir_all(root.join("ab")).expect("made");
    let stranger = "ab/ab000000000040008000000000000001.gz";
    write(&root.join(stranger), &gzip("a stranger"));
    write(&root.join("ab/half.part"), b"half");

    let place = moved.strip_prefix(&root).expect("within").display();
    let mut expected: Vec<Expected> = [
        ("missing-object", "f-deleted"),
        ("size-mismatch", "f-truncated"),
        ("size-mismatch", "f-longer"),
        ("size-mismatch", "f-empty"),
        ("md5-mismatch", "f-altered"),
        ("md5-mismatch", "f-swapped-1"),
        ("md5-mismatch", "f-swapped-2"),
        ("missing-object", "v-deleted"),
        ("md5-mismatch", "v-altered"),
        ("missing-object", "f-moved"),
        ("orphan-object", "notes.txt"),
        ("orphan-object", stranger),
        ("orphan-object", "ab/half.part"),
    ]
    .map(|(kind, of)| (kind, of.to_owned()))
    .into();
    expected.push(("orphan-object", place.to_string()));
    expected
}

/// The projections of a stopped server.
pub(super) fn rows(dir: &Path) -> Store {
    Store::open(&dir.join("projections/current"), CACHE_BYTES).expect("the projections open")
}

/// The rows of one projection that end with a record's name.
fn rows_of(store: &Store, prefix: u8, id: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let name = format!("{CONTAINER}\0{id}");
    let stream = format!("mrs/DEMO/{CONTAINER}/{id}");
    let rows = store.scan(vec![prefix], &[prefix]);
    rows.map(|row| row.expect("a row"))
        .filter(|(key, _)| key.ends_with(name.as_bytes()) || key.ends_with(stream.as_bytes()))
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Does every damage to rows; to be called while the server is stopped.
pub(super) fn spoil_rows(dir: &Path) -> Vec<Expected> {
    let store = rows(dir);
    let mut writes = Vec::new();
    let one = |prefix: u8, id: &str| {
        let rows = rows_of(&store, prefix, id);
        assert!(!rows.is_empty(), "{id} has rows");
        rows
    };
    // Removed.
    for (prefix, id) in [
        (b'r', "i-record"),
        (b'l', "i-list"),
        (b't', "i-tag"),
        (b'd', "i-due"),
    ] {
        writes.extend(one(prefix, id).into_iter().map(|(key, _)| (key, None)));
    }
    // Altered: another record's, and nothing that can be read.
    let (_, others) = one(b'r', "i-other").remove(0);
    let (key, _) = one(b'r', "i-altered").remove(0);
    writes.push((key, Some(others)));
    let (key, _) = one(b'r', "i-garbage").remove(0);
    writes.push((key, Some(b"\xff\xff\xff".to_vec())));
    // Added: of a record that never was, and of one that is otherwise.
    let renamed = |key: &[u8]| {
        let at = key.len() - "i-other".len();
        assert_eq!(&key[at..], b"i-other");
        [&key[..at], b"i-ghost"].concat()
    };
    for prefix in [b'r', b'l', b't', b'd'] {
        let (key, value) = one(prefix, "i-other").remove(0);
        writes.push((renamed(&key), Some(value)));
    }
    let (key, value) = one(b'l', "i-wrong-status").remove(0);
    let status = key.iter().position(|byte| *byte == b'a').expect("a status");
    let mut wrong = key.clone();
    wrong[status] = b'p';
    writes.push((wrong, Some(value)));
    let (key, value) = one(b't', "i-wrong-tag").remove(0);
    let text = String::from_utf8(key).expect("text");
    let wrong = text.replacen("DEMO\0T\0", "DEMO\0WRONG\0", 1);
    assert_ne!(wrong, text);
    writes.push((wrong.into_bytes(), Some(value)));
    store.write(&mut writes).expect("written");
    store.flush().expect("flushed");
    [
        ("missing-index", "i-record"),
        ("missing-index", "i-list"),
        ("missing-index", "i-tag"),
        ("missing-index", "i-due"),
        ("stale-index", "i-altered"),
        ("stale-index", "i-garbage"),
        ("stale-index", "i-ghost"),
        ("stale-index", "i-wrong-status"),
        ("stale-index", "i-wrong-tag"),
    ]
    .map(|(kind, of)| (kind, of.to_owned()))
    .into()
}

/// Leaves the rest of an upload that broke off long ago: the clock of these tests is far ahead of that of the files. To
/// be called while the server runs: each start removes what is left.
pub(super) fn break_off(server: &Inside) -> Expected {
    let file = "content/tmp/broken-off";
    std::fs::write(server.dir.join(file), b"half").expect("written");
    ("orphan-object", file.to_owned())
}
