use anyhow::Result;
pub fn size() -> Result<bool> { Ok(true) }