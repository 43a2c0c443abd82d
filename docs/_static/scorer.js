/* Ranking of search results: tasks and explanations before reference and records. */
const SHIFT = [
  [/^(how_to|getting_started|guide)\//, 30],
  [/\/index$/, -10],
  [/^(troubleshooting|migration\/|auto_examples\/)/, 10],
  [/^(changelog|experiments\/|benchmarks|contributing|release)/, -15],
  [/^glossary/, -95], // its terms match queries exactly
];

var Scorer = {
  score: ([page, , , , score]) =>
    score + SHIFT.reduce((sum, [pages, shift]) => sum + (pages.test(page) ? shift : 0), 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
