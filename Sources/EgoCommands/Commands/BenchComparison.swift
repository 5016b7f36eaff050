import CommandLineKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The ratios of an earlier run, to compare new ones with.
struct BenchComparison: Sendable {
    /// What is compared: one thing, measured in one way.
    struct Key: Hashable, Sendable {
        var name: String
        var clients: Int
        var durability: String?
    }

    /// How many percent a ratio may be below that of before.
    let tolerance: Double
    /// The ratios of before.
    let ratios: [Key: Double]
    /// The parameters of before, as JSON of text; empty where they are not known.
    let parameters: [String: String]

    private struct Envelope: Decodable {
        struct Content: Decodable {
            var results: [Result]
            var parameters: [String: Parameter]?
        }

        struct Result: Decodable {
            var name: String
            var clients: Int?
            var durability: String?
            var ratio: Double?
        }

        var schema: String
        var data: Content?
    }

    /// A text, a number or a list of numbers, as text.
    private struct Parameter: Decodable {
        var text: String

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let word = try? value.decode(String.self) {
                text = word
            } else if let number = try? value.decode(Double.self) {
                text = "\(number)"
            } else if let numbers = try? value.decode([Double].self) {
                text = "\(numbers)"
            } else {
                text = ""
            }
        }
    }

    /// Reads what an earlier run gave with `-o json`.
    init(file path: String, tolerance: Double) throws {
        let shown = Escape.shown(path)
        guard FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure(.noInput, shown, "there is no such file")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure(.noPermission, shown, "it cannot be read")
        }
        guard let envelope = try? JSONDecoder().decode(Envelope.self, from: data), envelope.schema == "ego.bench/1",
            let content = envelope.data
        else {
            throw CommandFailure(
                .data, shown, "it is no result of ego bench", hint: "ego bench -o json > FILE makes one")
        }
        var ratios: [Key: Double] = [:]
        for result in content.results {
            ratios[Key(name: result.name, clients: result.clients ?? 1, durability: result.durability)] = result.ratio
        }
        self.ratios = ratios
        self.tolerance = tolerance
        parameters = content.parameters?.mapValues(\.text) ?? [:]
    }

    /// How many percent a ratio is above that of before, negative for below; nil where there is nothing to compare.
    func change(of key: Key, to ratio: Double) -> Double? {
        guard let before = ratios[key], before > 0 else { return nil }
        return (ratio / before - 1) * 100
    }

    /// Whether a change is a fall beyond what is tolerated.
    func isFall(_ change: Double?) -> Bool { change.map { $0 < -tolerance } ?? false }
}
