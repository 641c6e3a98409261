//! The README's table names tests that exist.

use std::path::Path;

#[test]
fn every_row_is_proved_by_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("a README");
    let (_, table) = readme.split_once("| Proved by |").expect("the table");
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10, "rows={}", rows.len());
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, answer, proof] = cells[..] else { panic!("three cells: {row}") };
        if answer.starts_with("no such thing: ") {
            continue;
        }
        let mut names = proof.split('`').skip(1).step_by(2);
        let file = names.next().expect("a test file");
        let source = std::fs::read_to_string(root.join("tests/broker").join(file)).expect(file);
        for name in names {
            assert!(source.contains(&format!("async fn {name}()")), "no such test in {file}: {name}");
        }
    }
}
