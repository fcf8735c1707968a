"""The clients' results as one table, with what each cannot do."""
import json
import sys
from pathlib import Path

results = [json.loads(path.read_text()) for path in sorted(Path(sys.argv[1]).glob("*.json")) if path.read_text().strip()]
width = max(len(result["client"]) for result in results)
for result in results:
    verdict = "ok" if not result["wrong"] else f"{result['wrong']} WRONG"
    print(f"{result['client']:{width}}  {result['compared']:5} values compared  {verdict}")
    for note in result["notes"]:
        print(f"{'':{width}}  its own limit: {note}")
print(f"clients: {len(results)}, values compared: {sum(result['compared'] for result in results)}, "
      f"wrong: {sum(result['wrong'] for result in results)}")
