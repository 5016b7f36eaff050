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

    /// How this operator is named as the owner of a lease.
    var leaseOwner: String { "\(name) (process \(process))" }

    /// Whether the owner of a lease was a process of this user on this machine that is no more, such as one that was
    /// killed: its lease may be taken over before it runs out.
    func isGone(_ owner: String) -> Bool {
        let start = "\(name) (process "
        guard owner.hasPrefix(start), let number = Int32(owner.dropFirst(start.count).dropLast()), number > 0 else {
            return false
        }
        return number != process && kill(number, 0) != 0 && errno == ESRCH
    }
}
