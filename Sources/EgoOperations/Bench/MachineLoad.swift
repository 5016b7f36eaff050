#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What the machine's processors did, as `/proc/stat` counts it. Elsewhere than on Linux nothing is known.
package struct MachineLoad: Sendable, Hashable {
    /// Ticks of all processors.
    private var total: UInt64 = 0
    /// Of those, ticks in which they worked.
    private var busy: UInt64 = 0
    /// Of those, ticks that the hypervisor gave to another machine.
    private var stolen: UInt64 = 0
    /// Ticks that this process and its children worked.
    private var own: UInt64 = 0

    /// What they did until now; nil where the system does not tell.
    package init?() {
        let fields = (Self.read("/proc/stat").split(separator: "\n").first ?? "").split(separator: " ").dropFirst()
        let ticks = fields.compactMap { UInt64($0) }
        guard ticks.count >= 8 else { return nil }
        total = ticks[..<8].reduce(0, +)
        stolen = ticks[7]
        busy = total - ticks[3] - ticks[4]
        var spent = tms()
        _ = times(&spent)
        own = UInt64(spent.tms_utime + spent.tms_stime + spent.tms_cutime + spent.tms_cstime)
    }

    /// The share of the processors' time since `earlier` that other processes of this machine took, 0 to 1.
    package func others(since earlier: MachineLoad) -> Double {
        let work = Double(busy &- earlier.busy) - Double(stolen &- earlier.stolen) - Double(own &- earlier.own)
        return max(0, work) / max(1, Double(total &- earlier.total))
    }

    /// The share of the processors' time since `earlier` that the hypervisor gave to others, 0 to 1.
    package func stolen(since earlier: MachineLoad) -> Double {
        Double(stolen &- earlier.stolen) / max(1, Double(total &- earlier.total))
    }

    /// The most memory that this process had since ``resetPeakMemory()``, in bytes; nil where the system does not tell.
    static var peakMemoryBytes: Int? { status("VmHWM:") }

    /// The memory that this process has now beside what it shares with files, in bytes; nil where the system does not
    /// tell.
    static var ownMemoryBytes: Int? { status("RssAnon:") }

    private static func status(_ name: String) -> Int? {
        for line in read("/proc/self/status").split(separator: "\n") where line.hasPrefix(name) {
            return line.split { $0 == " " || $0 == "\t" }.compactMap { Int($0) }.first.map { $0 * 1_024 }
        }
        return nil
    }

    /// Begins to look for the peak anew (proc(5), clear_refs); where that is not allowed the peak is that of the process.
    static func resetPeakMemory() {
        let file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)
        if file < 0 { return }
        _ = write(file, "5", 1)
        close(file)
    }

    private static func read(_ path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        if file < 0 { return "" }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 8_192)
        let count = bytes.withUnsafeMutableBytes { buffer in
            #if canImport(Glibc)
                Glibc.read(file, buffer.baseAddress, buffer.count)
            #else
                Darwin.read(file, buffer.baseAddress, buffer.count)
            #endif
        }
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
