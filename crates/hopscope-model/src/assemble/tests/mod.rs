//! The rules, each as a test that is named like one.

#[allow(dead_code)]
mod build;
mod totality;
