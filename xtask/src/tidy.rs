use anyhow::Result;
pub fn tidy() -> Result<bool> { Ok(true) }