"""Notices in Italian."""

from __future__ import annotations

from server.notices.wording.language import Language, Wording

_BALANCE = ("Saldo", "balance")
_WHEN = ("Ora", "time")

ITALIAN = Language(
    code="it",
    thousands=".",
    decimal=",",
    months=(
        *("gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto"),
        *("settembre", "ottobre", "novembre", "dicembre"),
    ),
    wordings={
        "recharge_succeeded": Wording(
            "{tenant}: crediti ricaricati di {amount}",
            ("I crediti di {tenant} sono stati ricaricati automaticamente di {amount}.",),
            (("Importo", "amount"), _BALANCE, ("Validi fino al", "expire"), _WHEN),
        ),
        "recharge_failed": Wording(
            "{tenant}: ricarica non riuscita ({reason})",
            (
                "Non è stato possibile ricaricare i crediti di {tenant} di {amount}: {reason}.",
                "Le chiamate continuano finché c'è credito e si fermano quando il saldo arriva a "
                "zero. Controllare il mezzo di pagamento o ricaricare a mano.",
            ),
            (
                ("Importo", "amount"),
                ("Motivo", "reason"),
                ("Dettaglio", "detail"),
                _BALANCE,
                ("Prossimo tentativo non prima del", "next_try"),
                _WHEN,
            ),
        ),
        "balance_low": Wording(
            "{tenant}: crediti quasi esauriti ({balance})",
            ("I crediti di {tenant} sono scesi sotto {threshold}.",),
            (_BALANCE, ("Avviso al di sotto di", "threshold"), _WHEN),
        ),
        "balance_zero": Wording(
            "{tenant}: i crediti sono arrivati a zero",
            (
                "I crediti di {tenant} sono esauriti. Si ferma ciò che pagano i crediti: le "
                "chiamate ai suoi numeri verdi, e le chiamate oltre i minuti dei suoi piani, "
                "anche in uscita dalle riunioni.",
                "Restano i minuti dei piani e le chiamate di emergenza. Con una ricarica tutto "
                "torna subito disponibile.",
            ),
            (_BALANCE, _WHEN),
        ),
        "balance_zero_post_paid": Wording(
            "{tenant}: i crediti sono arrivati a zero",
            (
                "I crediti di {tenant} sono esauriti. Le chiamate continuano; ciò che pagavano i "
                "crediti viene fatturato da ora in poi.",
            ),
            (_BALANCE, _WHEN),
        ),
        "pool_80": Wording(
            "{tenant}: usato l'80 % dei minuti {counter} di un pool",
            ("Dei minuti {counter} del pool {pool_id} per {period} è stato usato l'80 %.",),
            (("Usati", "used"), ("Pool", "size"), _WHEN),
        ),
        "pool_100": Wording(
            "{tenant}: minuti {counter} di un pool esauriti",
            (
                "I minuti {counter} del pool {pool_id} per {period} sono esauriti.",
                "Fino al mese prossimo le chiamate che pagavano sono a carico dei crediti, per chi "
                "ne ha la licenza, e rifiutate per gli altri.",
            ),
            (("Usati", "used"), ("Pool", "size"), _WHEN),
        ),
        "credits_expiring": Wording(
            "{tenant}: stanno per scadere crediti per {left}",
            ("Crediti di {tenant} per {left} scadono il {expire} se non vengono usati prima.",),
            (("Rimasti", "left"), ("Scadenza", "expire")),
        ),
        "credits_expired": Wording(
            "{tenant}: sono scaduti crediti per {expired}",
            ("Crediti di {tenant} per {expired} non sono stati usati in tempo e sono scaduti.",),
            (("Scaduti", "expired"), _BALANCE, _WHEN),
        ),
        "payment_reversed": Wording(
            "{tenant}: {reversed} di un pagamento sono stati ripresi",
            (
                "Di un pagamento di {amount} per i crediti di {tenant}, {reversed} sono stati "
                "ripresi con un rimborso o una contestazione. Ciò che restava dei suoi crediti è "
                "annullato.",
                "Ciò che era già stato speso è indicato qui sotto come ancora da pagare. Dopo una "
                "contestazione la ricarica automatica è disattivata finché le sue impostazioni "
                "non vengono salvate di nuovo.",
            ),
            (
                ("Pagamento", "charge_id"),
                ("Importo", "amount"),
                ("Ripreso", "reversed"),
                ("Già speso", "shortfall"),
                _WHEN,
            ),
        ),
        "payment_restored": Wording(
            "{tenant}: un pagamento ripreso è stato riaccreditato",
            (
                "Il denaro ripreso di un pagamento di {amount} è tornato; è di nuovo nei crediti "
                "di {tenant}.",
            ),
            (
                ("Pagamento", "charge_id"),
                ("Importo", "amount"),
                ("Ancora ripreso", "reversed"),
                ("Già speso", "shortfall"),
                _WHEN,
            ),
        ),
        "implausible_use": Wording(
            "{tenant}: una chiamata risulta più lunga di quanto possa essere durata",
            (
                "Il gateway {gateway_id} ha segnalato per una chiamata di {tenant} più tempo di "
                "quanto ne possa essere passato dal suo inizio. Sono conteggiati {counted}; gli "
                "altri {implausible} sono accantonati e non addebitati.",
                "L'operatore verificherà, e addebiterà o annullerà quanto è accantonato. "
                "L'orologio o il contatore del gateway potrebbe essere sbagliato.",
            ),
            (
                ("Chiamata", "call_id"),
                ("Decisione", "decision_id"),
                ("Gateway", "gateway_id"),
                ("Conteggiati", "counted"),
                ("Accantonati", "implausible"),
                _WHEN,
            ),
        ),
        "usage_report": Wording(
            "{tenant}: rapporto di utilizzo {report}, dal {first_day} al {last_day}",
            (
                "L'utilizzo di {tenant} registrato dal {first_day} al {last_day}, come lo "
                "sceglie il rapporto {report}. Il file {file} è allegato se è abbastanza piccolo.",
                "I suoi byte non cambiano più dopo la fine del periodo. Questo comando lo "
                "riscrive: {command}",
            ),
            (
                ("Righe", "records"),
                ("Addebitato", "charge"),
                ("Byte", "bytes"),
                ("SHA-256", "sha256"),
                _WHEN,
            ),
        ),
    },
    reasons={
        "card_declined": "la carta è stata rifiutata",
        "expired_card": "la carta è scaduta",
        "insufficient_funds": "i fondi della carta non bastano",
        "authentication_required": "la banca chiede di confermare il pagamento",
        "region_mismatch": "l'area dell'acquisto non è quella dell'indirizzo di fatturazione",
        "payment_declined": "il pagamento è stato rifiutato",
        "max_balance": "il saldo supererebbe il suo limite",
        "recharge_limit": "il limite mensile delle ricariche è raggiunto",
        "recharge_burst": "troppe ricariche in poco tempo",
        "below_minimum": "l'importo è inferiore all'acquisto minimo",
        "credits_not_sold": "i crediti non sono in vendita nel paese del tenant",
        "funding_model": "il modello di pagamento del tenant non prevede crediti",
    },
    counters={
        "domestic": "nazionali",
        "international": "internazionali",
        "zone_a": "della zona A",
        "us_ca": "per Stati Uniti e Canada",
    },
    footer=(
        "callgate ha inviato l'avviso {notice_id} a {target}, come chiedono le impostazioni di "
        "{tenant}."
    ),
)
