import EgoCore
public import EgoOperations
import SwiftProtobuf

/// Accounts `acc-1`, `acc-2` and so on, opened, credited and debited: the same for the same seed.
public struct BankSample: SampleData {
    /// The sample of the bank.
    public init() {}

    public func pages(_ parameters: SampleParameters) -> AnySequence<SamplePage> {
        AnySequence { BankSampleIterator(parameters) }
    }
}

private struct BankSampleIterator: IteratorProtocol {
    private static let pageEvents = 5_000
    /// A snapshot stands at each multiple of this many events.
    private static let snapshotInterval: UInt64 = 50
    /// 2026-01-01T00:00:00Z; each event follows a second after the one before.
    private static let start = Timestamp(unixNanoseconds: 1_767_225_600_000_000_000)

    private let parameters: SampleParameters
    private let behavior = AccountBehavior()
    private var random: SplitMix64
    private var accounts: [(state: Samplepb_Account, version: SequenceNumber)] = []
    private var made = 0

    init(_ parameters: SampleParameters) {
        self.parameters = parameters
        self.random = SplitMix64(seed: parameters.seed)
    }

    mutating func next() -> SamplePage? {
        guard made < parameters.events else { return nil }
        var page = SamplePage(appends: [], snapshots: [])
        while made < parameters.events, page.appends.count < Self.pageEvents {
            // Messages of this package have no required fields, so that encoding them cannot fail.
            guard (try? addEvent(to: &page)) != nil else { return nil }
        }
        return page
    }

    private mutating func addEvent(to page: inout SamplePage) throws {
        // Accounts are opened evenly over the whole time.
        let opens =
            accounts.count < parameters.entities && made * parameters.entities / parameters.events >= accounts.count
        let index: Int
        let event: AccountBehavior.Event
        if opens || accounts.isEmpty {
            index = accounts.count
            accounts.append((Samplepb_Account(), .zero))
            let balance = amount(upTo: 100_000)
            event = .created(
                .with {
                    $0.accountID = "acc-\(index + 1)"
                    $0.accountBalance = balance
                })
        } else {
            index = Int.random(in: 0..<accounts.count, using: &random)
            let account = accounts[index].state
            let wanted = amount(upTo: 50_000)
            let isDebit = Bool.random(using: &random) && wanted <= account.accountBalance
            event =
                isDebit
                ? .debited(
                    .with {
                        $0.accountID = account.accountID
                        $0.accountBalance = wanted
                    })
                : .credited(
                    .with {
                        $0.accountID = account.accountID
                        $0.accountBalance = wanted
                    })
        }
        let before = accounts[index].version
        behavior.apply(event, to: &accounts[index].state)
        accounts[index].version = before.next
        let time = Self.start.advanced(by: .seconds(made))
        let id = PersistenceID(stored: "acc-\(index + 1)")
        let state = try AnyPayload(packing: accounts[index].state)
        page.appends.append(
            AppendRequest(
                persistenceID: id, kind: behavior.kind, expectedVersion: .exact(before),
                events: [
                    NewEvent(
                        timestamp: time, payload: try event.serializedAny(),
                        unknownFields: parameters.isLegacy ? PersistedEvent.unknownFields(inlineState: state) : [])
                ]))
        if !parameters.isLegacy, before.next.rawValue.isMultiple(of: Self.snapshotInterval) {
            page.snapshots.append(
                StoredSnapshot(
                    persistenceID: id, sequenceNumber: before.next, timestamp: time, payload: state.serialized()))
        }
        made += 1
    }

    /// Hundredths up to a limit, at least one.
    private mutating func amount(upTo limit: Int) -> Double {
        Double(Int.random(in: 1...limit, using: &random)) / 100
    }
}

/// A generator whose numbers are the same everywhere for the same seed.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
private struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
