//! Token files: made once, replaced as a whole, and never believed when others could have written them.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn write(path: &Path, text: &[u8], mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn holds(file: &TokenFile, token: &str) -> bool {
    file.holds(&Digest::of(token.as_bytes())).into()
}

#[test]
fn a_token_is_made_once_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/deep/token");
    assert_eq!(load_or_create(&path).unwrap(), Made::Created);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let token = read(&path).unwrap();
    // 32 bytes in base64 without padding.
    assert_eq!(token.expose().len(), 43);
    assert_eq!(load_or_create(&path).unwrap(), Made::Found);
    assert_eq!(read(&path).unwrap(), token);
    rotate(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_ne!(read(&path).unwrap(), token);
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn of_many_that_make_it_at_once_all_end_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let made: Vec<(Made, Token)> = std::thread::scope(|scope| {
        let make = || (load_or_create(&path).unwrap(), read(&path).unwrap());
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|(made, _)| *made == Made::Created).count(), 1);
    assert!(made.iter().all(|(_, token)| *token == made[0].1));
}

#[test]
fn a_link_stays_a_link_when_its_token_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link) = (dir.path().join("token"), dir.path().join("link"));
    load_or_create(&path).unwrap();
    symlink(&path, &link).unwrap();
    let old = read(&link).unwrap();
    rotate(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_ne!(read(&path).unwrap(), old);
}

#[test]
fn what_is_no_good_token_file_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let good = "0123456789abcdefghij";
    let shown = path.display().to_string();
    for (text, mode, complaint) in [
        (good.to_owned(), 0o640, format!("the token file `{shown}` is open to others: its mode is 0640")),
        (good.to_owned(), 0o604, format!("the token file `{shown}` is open to others: its mode is 0604")),
        (good.to_owned(), 0o622, format!("the token file `{shown}` is open to others: its mode is 0622")),
        (String::new(), 0o600, format!("the token file `{shown}` is empty")),
        (" \n".to_owned(), 0o600, format!("the token file `{shown}` is empty")),
        ("short".to_owned(), 0o600, format!("the token file `{shown}` holds a token that is too short")),
        ("x".repeat(5000), 0o600, format!("the token file `{shown}` holds more than a token")),
        (
            "two tokens, one file".to_owned(),
            0o600,
            format!("the token file `{shown}` holds characters that no token has"),
        ),
        ("=".repeat(20), 0o600, format!("the token file `{shown}` holds characters that no token has")),
    ] {
        write(&path, text.as_bytes(), mode);
        let error = read(&path).unwrap_err();
        assert_eq!(error.to_string(), complaint);
        assert!(!error.hints().is_empty());
        assert!(TokenFile::open(&path).is_err());
        // It is not replaced behind its owner's back.
        assert!(load_or_create(&path).is_err());
    }
    for mode in [0o600, 0o400] {
        write(&path, format!("{good}==\n").as_bytes(), mode);
        assert_eq!(read(&path).unwrap().expose(), format!("{good}=="));
    }
    let error = read(dir.path()).unwrap_err();
    assert!(error.to_string().ends_with("is no regular file"), "{error}");
}

#[test]
fn a_change_counts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    write(&path, b"first-first-first", 0o600);
    let file = TokenFile::open(&path).unwrap();
    assert!(holds(&file, "first-first-first"));
    // In place, of the same length, within the clock's tick.
    write(&path, b"other-other-other", 0o600);
    assert!(!holds(&file, "first-first-first"));
    assert!(holds(&file, "other-other-other"));
    let old = read(&path).unwrap();
    rotate(&path).unwrap();
    assert!(!holds(&file, old.expose()));
    assert!(holds(&file, read(&path).unwrap().expose()));
    // Open to others, gone, back.
    let token = read(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!holds(&file, token.expose()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(holds(&file, token.expose()));
    fs::remove_file(&path).unwrap();
    assert!(!holds(&file, token.expose()));
    write(&path, token.expose().as_bytes(), 0o600);
    assert!(holds(&file, token.expose()));
}

#[test]
fn a_settled_file_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    write(&path, b"first-first-first", 0o600);
    let (_, stamp) = look(&path).unwrap();
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stamp.changed.0).unwrap());
    assert!(!is_settled(&stamp, changed));
    assert!(is_settled(&stamp, changed + Duration::from_secs(3)));
}

#[test]
fn a_token_shows_only_when_asked() {
    let token = Token("first-first-first".to_owned());
    assert_eq!(format!("{token:?}"), "Token(…)");
}
