//! Diagnostics as data: a stable code, a message, places in the text, and hints. Rendering is elsewhere.

use std::ops::Range;

/// Byte offsets into the text of a [`Report`](crate::Report).
pub type Span = Range<usize>;

macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal,)+) => {
        /// What is wrong, for programs: names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])+ $variant,)+
        }

        impl Code {
            /// Every code, in the order of its declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as it is printed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

codes! {
    /// Bytes that are not UTF-8.
    NotUtf8 = "not-utf8",
    /// Not TOML.
    Syntax = "syntax",
    /// A key or a table given twice.
    DuplicateKey = "duplicate-key",
    /// Nothing in the file.
    EmptyManifest = "empty-manifest",
    /// A key that the schema does not have.
    UnknownKey = "unknown-key",
    /// A value of another type than the key takes.
    WrongType = "wrong-type",
    /// A required key is not there.
    MissingKey = "missing-key",
    /// A kind that the schema does not have.
    UnknownKind = "unknown-kind",
    /// A key that another kind of driver takes.
    KeyOfOtherKind = "key-of-other-kind",
    /// Two keys that exclude each other.
    ConflictingKeys = "conflicting-keys",
    /// A key that only an overlay may use.
    OverlayOnly = "overlay-only",
    /// A text that is empty, or not of one line.
    BadText = "bad-text",
    /// A name that is not of the form of names.
    BadName = "bad-name",
    /// A name that means something else.
    ReservedName = "reserved-name",
    /// A name that makes two selections look alike, or is a driver's and an option's.
    AmbiguousName = "ambiguous-name",
    /// Two drivers of one name.
    DuplicateDriver = "duplicate-driver",
    /// Two drivers of one package.
    DuplicatePackage = "duplicate-package",
    /// Something twice in one list.
    DuplicateItem = "duplicate-item",
    /// A list with nothing in it.
    EmptyList = "empty-list",
    /// Not a cargo package's name, or one that cannot be a driver.
    BadPackage = "bad-package",
    /// A package that is not in the workspace.
    UnknownPackage = "unknown-package",
    /// A feature that a package does not have.
    UnknownFeature = "unknown-feature",
    /// A driver's crate that does not say which driver API it speaks.
    NoDriverApi = "no-driver-api",
    /// A driver's crate that speaks another driver API.
    DriverApiMismatch = "driver-api-mismatch",
    /// A crate that two claim for themselves.
    OwnedTwice = "owned-twice",
    /// A claim on what is no crate, or on a crate of the workspace.
    BadOwns = "bad-owns",
    /// A claimed crate that is not in Cargo.lock.
    NotLocked = "not-locked",
    /// A path that cannot be used.
    BadPath = "bad-path",
    /// A socket's path that cannot be used.
    BadSocket = "bad-socket",
    /// Not a version requirement.
    BadVersion = "bad-version",
    /// A git source that cannot be used.
    BadGit = "bad-git",
    /// `detect` where there is no probe.
    CannotDetect = "cannot-detect",
    /// Not a platform.
    BadPlatform = "bad-platform",
    /// A text of evidence that proves nothing.
    BadEvidence = "bad-evidence",
    /// A budget that cannot be kept.
    BadBudget = "bad-budget",
    /// Not a `package/feature`, or one that no option may turn on.
    BadFeature = "bad-feature",
    /// Not a variable's name, or one that two options share.
    BadEnv = "bad-env",
    /// The entry `external` is not there.
    MissingExternal = "missing-external",
    /// The entry `external` is not what it has to be.
    BadExternal = "bad-external",
    /// A driver that no entry has.
    UnknownDriver = "unknown-driver",
    /// An option that no table has.
    UnknownOption = "unknown-option",
    /// An option switched on and off at once.
    Contradiction = "contradiction",
    /// `before` and `after` that no order fulfils.
    OrderCycle = "order-cycle",
    /// No driver is in the default features.
    NothingDefault = "nothing-default",
}

/// Whether an assembly can come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can; somebody should look.
    Warning,
}

impl Severity {
    /// The word that is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in the text and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is there; may be empty.
    pub text: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// For programs.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One line for people.
    pub message: String,
    /// Where it is.
    pub primary: Label,
    /// Other places that have to do with it: `first here`.
    pub secondary: Vec<Label>,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Diagnostic {
    pub(crate) fn new(code: Code, severity: Severity, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            primary: Label { span, text: String::new() },
            secondary: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Says something at the primary place.
    pub(crate) fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.primary.text = text.into();
        self
    }

    /// Shows another place.
    pub(crate) fn also(&mut self, span: Span, text: impl Into<String>) -> &mut Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Adds a remedy.
    pub(crate) fn hint(&mut self, text: impl Into<String>) -> &mut Self {
        self.hints.push(text.into());
        self
    }

    /// Adds a remedy, if there is one.
    pub(crate) fn hints(&mut self, texts: impl IntoIterator<Item = String>) -> &mut Self {
        self.hints.extend(texts);
        self
    }
}

/// Where the checks put what they find.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    found: Vec<Diagnostic>,
}

impl Sink {
    /// Puts an error down; what is returned adds to it.
    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Diagnostic::new(code, Severity::Error, span, message))
    }

    /// Puts a warning down; what is returned adds to it.
    pub(crate) fn warning(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Diagnostic::new(code, Severity::Warning, span, message))
    }

    fn push(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        let index = self.found.len();
        self.found.push(diagnostic);
        &mut self.found[index]
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// What was found, in the order of the text.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| (diagnostic.primary.span.start, diagnostic.primary.span.end));
        self.found
    }
}
