"""What the document shows; a test holds each against its schema."""

from __future__ import annotations

from typing import Any

DRAFT: dict[str, Any] = {
    "name": "Summer sale",
    "body": 'Hi {{ first_name | default: "there" }}, 20% off until Sunday: https://shop.example/sale',
    "audience": {"all": True},
}

CAMPAIGN: dict[str, Any] = {
    "id": 42,
    **DRAFT,
    "abTest": None,
    "status": "draft",
    "priority": "normal",
    "schedule": None,
    "dispatchId": None,
    "failure": None,
    "startedAt": None,
    "finishedAt": None,
    "createdAt": "2026-11-20T12:00:00Z",
    "updatedAt": "2026-11-20T12:00:00Z",
    "version": 1,
    "stats": None,
}

STATUS: dict[str, Any] = {
    "id": 42,
    "status": "sending",
    "dispatchId": 17,
    "failure": None,
    "startedAt": "2026-11-20T12:05:00Z",
    "finishedAt": None,
}

PREVIEW: dict[str, Any] = {
    "recipientCount": 980,
    "leftOut": {"not_opted_in": 12, "opted_out": 6, "no_phone": 2},
    "estimatedCost": 980,
    "segmentsTotal": 980,
    "segmentsMin": 1,
    "segmentsMax": 1,
    "costByCountry": [{"country": "GR", "recipients": 980, "segments": 980, "credits": 980}],
    "samples": [
        {
            "contactId": 5,
            "phone": "+30…408",
            "text": "Hi Eleni, 20% off until Sunday: https://shop.example/sale\nReply STOP to opt out",
            "segments": 1,
            "encoding": "gsm7",
        }
    ],
    "texts": [],
    "canSend": True,
    "reasons": [],
    "credit": {"balance": 5000, "reserved": 0, "available": 5000},
    "firstAt": "2026-11-20T12:00:00Z",
    "lastAt": "2026-11-20T12:00:00Z",
    "putOff": [],
}

PROGRESS: dict[str, Any] = {
    "id": 42,
    "status": "sending",
    "total": 980,
    "processed": 500,
    "sent": 490,
    "delivered": 310,
    "failed": 4,
    "pending": 480,
    "sending": 100,
    "waiting": 0,
    "skipped": 6,
    "cancelled": 0,
    "unconfirmed": 0,
    "progress": 51.0,
    "percent": 51.0,
    "messagesPerSecond": 98.0,
    "secondsLeft": 5,
    "nextDueAt": None,
    "leftOut": {"not_opted_in": 12, "opted_out": 6, "no_phone": 2},
    "failure": None,
}

STATS: dict[str, Any] = {
    "campaignId": 42,
    "sent": 974,
    "delivered": 951,
    "failed": 8,
    "unsubscribes": 3,
    "clicks": None,
    "redemptions": None,
    "orders": None,
    "revenue": None,
    "deliveredRate": 0.9764,
    "conversionRate": None,
    "firstSentAt": "2026-11-20T12:05:01Z",
    "abTest": None,
}
