/// What is wrong with the words on a command line.
public struct UsageError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The word that is wrong, as `--limit`; empty where it is not known yet.
    public var subject: String
    /// What is wrong with it, without full stop.
    public var message: String
    /// What to do about it.
    public var hint: String?

    /// An error with a message and perhaps a hint.
    public init(_ message: String, subject: String = "", hint: String? = nil) {
        self.subject = subject
        self.message = message
        self.hint = hint
    }

    public var description: String { subject.isEmpty ? message : "\(subject): \(message)" }
}

/// Why a command did not do what it was asked.
public struct CommandFailure: Error, Sendable, CustomStringConvertible {
    /// How the command ends.
    public var exitCode: ExitCode
    /// What could not be done or who says so, as `store` or an entity's ID; shown before the reason.
    public var what: String
    /// Why, in a sentence without full stop.
    public var why: String
    /// What to do about it.
    public var hint: String?
    /// Whether something was changed before it failed.
    public var changed = false
    /// Whether data that is no envelope was written before: then nothing of this goes to standard output.
    public var isAfterStream = false
    /// What a lower layer said, such as the code of a database; shown when the user asks for everything.
    public var detail: String?

    /// A failure with the given parts.
    public init(_ exitCode: ExitCode, _ what: String, _ why: String, hint: String? = nil) {
        self.exitCode = exitCode
        self.what = what
        self.why = why
        self.hint = hint
    }

    /// A failure of the words on the command line.
    public init(_ error: UsageError) {
        self.init(.usage, error.subject, error.message, hint: error.hint)
    }

    public var description: String { what.isEmpty ? why : "\(what): \(why)" }
}
