use anyhow::Result;
#[derive(clap::Args)]
pub struct Options {}
pub fn test(_: &Options) -> Result<bool> { Ok(true) }
pub fn ci() -> Result<bool> { Ok(true) }