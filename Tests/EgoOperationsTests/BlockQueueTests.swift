import Synchronization
import Testing

@testable import EgoOperations

@Suite("Blocks of an export on their way to what they are written to", .timeLimit(.minutes(1)))
struct BlockQueueTests {
    private struct Full: Error {}

    @Test("are written in their order, however many there are")
    func order() async throws {
        let written = Mutex<[UInt8]>([])
        let (sink, queue) = (ExportSink { block in written.withLock { $0 += block } }, BlockQueue())
        async let _ = queue.write(to: sink)
        defer { queue.close() }
        let blocks = (0..<1_000).map { [UInt8](repeating: UInt8($0 % 256), count: $0 % 5) }
        for block in blocks {
            var copy = queue.spare()
            #expect(copy.isEmpty)
            copy += block
            try await queue.give(copy)
        }
        try await queue.drain()
        #expect(written.withLock { $0 } == blocks.flatMap(\.self))
    }

    @Test("end with the error of the one that cannot be written")
    func failure() async throws {
        let written = Mutex(0)
        let sink = ExportSink { _ in
            let number = written.withLock { written in
                written += 1
                return written
            }
            if number == 3 { throw Full() }
        }
        let queue = BlockQueue()
        async let _ = queue.write(to: sink)
        defer { queue.close() }
        await #expect(throws: Full.self) {
            for _ in 0..<100 { try await queue.give([1]) }
            try await queue.drain()
        }
        await #expect(throws: Full.self) { try await queue.drain() }
        #expect(written.withLock { $0 } == 3)
    }
}
