//! What can be wrong with a header, as data.

use std::fmt;

/// One thing that is wrong with one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The header.
    pub header: &'static str,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// Beginning of the value, printable; empty where there is none.
    pub value: String,
}

/// What can be wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Upper-case digits where the format has lower case. Tolerated.
    UpperCase,
    /// Blanks around the value. Tolerated.
    Blanks,
    /// Several values, which differ; the last valid one counts. Tolerated.
    Conflict,
    /// Longer than allowed; cut. Tolerated.
    TooLong,
    /// A null value.
    Null,
    /// Bytes that are no text of this format.
    NotText,
    /// Not the parts that the format has.
    Shape,
    /// A part that has the wrong number of digits.
    Length,
    /// A part that is not hexadecimal.
    NotHex,
    /// An id that is not decimal, or greater than 64 bits.
    NotDecimal,
    /// A part that is not base64.
    NotBase64,
    /// An id of zeros only.
    AllZero,
    /// A version that does not exist.
    Version,
    /// A sampling state or flags that the format does not know.
    Sampling,
    /// One half of a context that has two.
    Incomplete,
}

impl Flaw {
    /// True when the value was used all the same.
    pub fn is_tolerated(self) -> bool {
        matches!(self, Self::UpperCase | Self::Blanks | Self::Conflict | Self::TooLong)
    }

    fn says(self) -> &'static str {
        match self {
            Self::UpperCase => "has upper-case digits",
            Self::Blanks => "has blanks around its value",
            Self::Conflict => "occurs several times with different values",
            Self::TooLong => "is longer than allowed",
            Self::Null => "is null",
            Self::NotText => "is not text",
            Self::Shape => "does not have the parts of its format",
            Self::Length => "has an id of the wrong length",
            Self::NotHex => "has an id that is not hexadecimal",
            Self::NotDecimal => "has an id that is no decimal number of 64 bits",
            Self::NotBase64 => "has a part that is not base64",
            Self::AllZero => "has an id of zeros",
            Self::Version => "has a version that does not exist",
            Self::Sampling => "has an unknown sampling state",
            Self::Incomplete => "is there without its other half",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header {} {}", self.header, self.flaw.says())?;
        if self.value.is_empty() { Ok(()) } else { write!(f, " value={}", self.value) }
    }
}
