/// How a command ended, for the shell that ran it.
public struct ExitCode: Sendable, Hashable {
    /// The number that the shell sees.
    public let number: Int32
    /// The name that machine-readable output carries.
    public let name: String
    /// What it means, in a few words.
    public let meaning: String

    private init(_ number: Int32, _ name: String, _ meaning: String) {
        self.number = number
        self.name = name
        self.meaning = meaning
    }

    public static let ok = ExitCode(0, "ok", "done, or nothing to do")
    public static let failure = ExitCode(1, "failure", "the operation failed")
    public static let findings = ExitCode(2, "findings", "it ran, and the answer is bad")
    public static let partial = ExitCode(3, "partial", "some items done, some not; listed; resumable")
    public static let refused = ExitCode(4, "refused", "not confirmed, or guarded; nothing changed")
    public static let notFound = ExitCode(5, "not-found", "no such entity, projection, key or job")
    public static let timedOut = ExitCode(6, "timed-out", "the time ran out; work done so far is kept")
    public static let rejected = ExitCode(7, "rejected", "the entity refused the command")
    public static let usage = ExitCode(64, "usage", "the words on the command line")
    public static let data = ExitCode(65, "data", "undecodable event, JSON or descriptor")
    public static let noInput = ExitCode(66, "no-input", "a named file is missing")
    public static let unavailable = ExitCode(69, "unavailable", "the store cannot be reached")
    public static let io = ExitCode(74, "io", "reading or writing failed")
    public static let busy = ExitCode(75, "busy", "lock or serialization conflict; retry is safe")
    public static let noPermission = ExitCode(77, "no-permission", "access was refused")
    public static let config = ExitCode(78, "config", "bad configuration, no encryptor, no domain")
    public static let interrupted = ExitCode(130, "interrupted", "stopped by SIGINT after a clean checkpoint")
    public static let terminated = ExitCode(143, "interrupted", "stopped by SIGTERM after a clean checkpoint")

    /// All of them, ascending.
    public static let all: [ExitCode] = [
        .ok, .failure, .findings, .partial, .refused, .notFound, .timedOut, .rejected, .usage, .data, .noInput,
        .unavailable, .io, .busy, .noPermission, .config, .interrupted, .terminated,
    ]
}
