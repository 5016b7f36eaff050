import Crypto
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Who operates a store, and why.
public struct Operator: Sendable, Hashable {
    /// The user and the machine, as `ann@host7`.
    public var name: String
    /// The process; 0 where there is none.
    public var process: Int32
    /// Why, in the operator's own words; may be empty where no reason is asked for.
    public var reason: String

    /// An operator with the given parts.
    public init(name: String, process: Int32 = 0, reason: String = "") {
        self.name = name
        self.process = process
        self.reason = reason
    }

    /// The user who runs this process.
    public static func current(reason: String = "") -> Operator {
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, host.count - 1)
        let machine = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let user = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? "uid \(geteuid())"
        return Operator(name: "\(user)@\(machine)", process: getpid(), reason: reason)
    }

    /// How a run of this operator is named as the owner of a lease: no two runs have the same name.
    package func leaseOwner(run: String = JobText.newSuffix()) -> String {
        "\(name) (process \(process) of \(Self.processTable), run \(run))"
    }

    /// Whether the owner of a lease was a process of this user on this machine that is no more, such as one that was
    /// killed: its lease may be taken over before it runs out.
    package func isGone(_ owner: String) -> Bool {
        guard let match = owner.wholeMatch(of: /(.*) \(process ([0-9]+) of ([0-9a-z]+), run [0-9a-z]+\)/),
            match.1 == name, match.3 == Self.processTable, let number = Int32(match.2), number > 0
        else { return false }
        if number == process { return false }
        return (kill(number, 0) != 0 && errno == ESRCH) || Self.isZombie(number)
    }

    /// Whether a process has ended, and nobody has asked how.
    private static func isZombie(_ process: Int32) -> Bool {
        let descriptor = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        if descriptor < 0 { return false }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = read(descriptor, &bytes, bytes.count)
        // The state stands after the name, which is in parentheses and may hold anything.
        guard count > 0, let end = bytes[..<count].lastIndex(of: UInt8(ascii: ")")), end + 2 < count else {
            return false
        }
        return bytes[end + 2] == UInt8(ascii: "Z")
    }

    /// Tells this machine's processes, since it was started and in this container, from those of others.
    private static let processTable: String = {
        var text = ""
        for path in ["/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"] {
            var bytes = [UInt8](repeating: 0, count: 256)
            var count = readlink(path, &bytes, bytes.count)
            if count < 0 {
                let descriptor = open(path, O_RDONLY | O_CLOEXEC)
                if descriptor >= 0 {
                    count = read(descriptor, &bytes, bytes.count)
                    close(descriptor)
                }
            }
            text += String(decoding: bytes[..<max(0, count)], as: UTF8.self)
        }
        return String(Hexadecimal.text(SHA256.hash(data: Array(text.utf8))).prefix(8))
    }()
}
